package corpus

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"runtime"
	"slices"

	"github.com/millrace-go/millrace/examples/tweets/internal/archive"
	"github.com/millrace-go/millrace/examples/tweets/internal/progress"
	"github.com/millrace-go/millrace/internal/sealed"
	"github.com/millrace-go/millrace/reduce"
	"github.com/millrace-go/millrace/similarity"
	"github.com/millrace-go/millrace/similarity/vector"
	"github.com/millrace-go/millrace/source"
	"github.com/millrace-go/millrace/stage"
)

// Model is what Prepare embeds with: embed.Model, or a test's stand-in.
type Model interface {
	stage.Transform[string, vector.Vector]
	Space() string
	Dim() int
}

// Archive is something to prepare: Open is called twice, to identify it and to
// read it.
type Archive struct {
	Name string
	Open func() (io.ReadCloser, error)
}

// ID identifies an archive by its bytes.
func (a Archive) ID() (string, error) {
	r, err := a.Open()
	if err != nil {
		return "", fmt.Errorf("archive: %w", err)
	}
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return "", errors.Join(fmt.Errorf("archive %s: %w", a.Name, err), r.Close())
	}
	return hex.EncodeToString(h.Sum(nil)), r.Close()
}

// Prepare makes a corpus of an archive in dir, or finds it there already. It
// tells p how far it is. sizes are the reductions to make; those that an
// earlier Prepare made are kept.
func Prepare(ctx context.Context, a Archive, dir string, model Model, sizes []int, p *progress.Reporter, log *slog.Logger) (*Corpus, error) {
	for _, n := range sizes {
		if n < 1 || n >= model.Dim() {
			return nil, fmt.Errorf("corpus: a reduction to %d dimensions: it must be from 1 to %d, the model's %d less one", n, model.Dim()-1, model.Dim())
		}
	}
	id, err := a.ID()
	if err != nil {
		return nil, err
	}
	was, err := read(dir)
	if err != nil && !errors.Is(err, ErrNotPrepared) {
		return nil, err
	}
	c := &Corpus{Dir: dir, Manifest: Manifest{Archive: a.Name, SHA256: id, Space: model.Space(), Dims: model.Dim()}}
	other := was == nil || was.SHA256 != id || was.Space != c.Space
	fresh := other || was.Partial
	if !fresh {
		// A reduction that is damaged, or of another version's format, is made again.
		c.Stats, c.Sizes = was.Stats, slices.DeleteFunc(slices.Clone(was.Sizes), func(n int) bool {
			_, err := was.PCA(n)
			return err != nil
		})
		sizes = slices.DeleteFunc(slices.Clone(sizes), func(n int) bool { return slices.Contains(c.Sizes, n) })
		if len(sizes) == 0 {
			return c, nil
		}
	}

	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("corpus: %w", err)
	}
	if fresh {
		if err := c.clean(a, other, p); err != nil {
			return nil, err
		}
	}
	if len(sizes) > 0 && slices.Max(sizes) > c.Stats.Kept {
		return nil, fmt.Errorf("corpus: a reduction to %d dimensions of only %d posts: ask for no more dimensions than posts by -sizes, or for none by -sizes 0", slices.Max(sizes), c.Stats.Kept)
	}
	items, err := c.embed(ctx, model, p, log)
	if err != nil {
		return nil, err
	}
	if fresh {
		p.Say("indexing %d vectors of %d dimensions", len(items), c.Dims)
		if err := c.index(items, 0); err != nil {
			return nil, err
		}
	}
	if err := c.reduce(ctx, items, sizes, p); err != nil {
		return nil, err
	}
	c.Partial = false
	return c, c.save()
}

// clean writes the posts worth searching. other says that the folder holds
// nothing of this archive and model yet.
func (c *Corpus) clean(a Archive, other bool, p *progress.Reporter) error {
	r, err := a.Open()
	if err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	var cleaner archive.Cleaner
	err = sealed.WriteFile(c.path("posts.jsonl"), func(w io.Writer) error {
		buf := bufio.NewWriterSize(w, 1<<20)
		enc := json.NewEncoder(buf)
		for post, err := range archive.Read(r, a.Name) {
			if err != nil {
				return err
			}
			if post, ok := cleaner.Clean(post); ok {
				if err := enc.Encode(post); err != nil {
					return err
				}
			}
		}
		c.Stats = cleaner.Stats()
		p.Say("%s: %v", a.Name, c.Stats)
		if c.Stats.Kept == 0 {
			return fmt.Errorf("archive %s: no post is left after cleaning", a.Name)
		}
		// Only now: an archive that cannot be read spoils no corpus.
		return errors.Join(buf.Flush(), c.begin(other))
	})
	return errors.Join(err, r.Close())
}

// begin notes what the folder is going to hold, so that what an interruption
// leaves there is taken up for the same archive and model only.
func (c *Corpus) begin(other bool) error {
	if other {
		if err := os.Remove(c.path("vectors")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("corpus: %w", err)
		}
	}
	c.Partial = true
	return c.save()
}

// embed gives every post a vector, but for those that have one: a stage from
// the file of posts to the file of vectors.
func (c *Corpus) embed(ctx context.Context, model Model, p *progress.Reporter, log *slog.Logger) (items []similarity.Item, err error) {
	vectors, err := openVectors(c.path("vectors"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, vectors.close()) }()
	have := make(map[string]bool, len(vectors.items))
	for _, item := range vectors.items {
		have[item.ID] = true
	}
	if len(have) == c.Stats.Kept {
		return vectors.items, nil
	}

	bar := p.Bar("embedding", c.Stats.Kept, len(have))
	defer bar.Done()
	var unread error
	err = stage.Run(ctx, &stage.Stage[archive.Post, similarity.Item]{
		Name:      "prepare",
		Source:    source.Seq(c.without(have, &unread)),
		Transform: stage.Lift(model, text, item),
		Sink:      vectors.sink(bar.Set),
		Order:     stage.Unordered,
		Workers:   runtime.GOMAXPROCS(0),
		BatchSize: 128,
		Retry:     stage.Retry{Attempts: 1},
		Logger:    log,
	})
	if err := errors.Join(err, unread); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("corpus: stopped after %d of %d vectors; the next start goes on from there: %w", len(vectors.items), c.Stats.Kept, ctx.Err())
	}
	return vectors.items, nil
}

func text(p archive.Post) string { return p.Text }

func item(p archive.Post, v vector.Vector) similarity.Item {
	return similarity.Item{ID: p.ID, Vector: v}
}

// without yields the posts that are not in have.
func (c *Corpus) without(have map[string]bool, failed *error) iter.Seq[archive.Post] {
	return func(yield func(archive.Post) bool) {
		stop := errors.New("enough")
		err := readPosts(c.path("posts.jsonl"), func(p archive.Post) error {
			if !have[p.ID] && !yield(p) {
				return stop
			}
			return nil
		})
		if !errors.Is(err, stop) {
			*failed = err
		}
	}
}

// reduce fits one PCA and makes an index for each size of it.
func (c *Corpus) reduce(ctx context.Context, items []similarity.Item, sizes []int, p *progress.Reporter) error {
	if len(sizes) == 0 {
		return nil
	}
	p.Say("fitting the PCA to %v dimensions", sizes)
	var fit reduce.PCAFitter
	for _, item := range items {
		if err := fit.Add(item.Vector); err != nil {
			return err
		}
	}
	widest, err := fit.Fit(slices.Max(sizes))
	if err != nil {
		return err
	}
	for _, n := range sizes {
		pca, err := widest.Truncate(n)
		if err != nil {
			return err
		}
		reduced, err := Reduce(ctx, pca, items)
		if err != nil {
			return err
		}
		if err := pca.SaveFile(c.path("pca", n)); err != nil {
			return err
		}
		if err := c.index(reduced, n); err != nil {
			return err
		}
		c.Sizes = append(c.Sizes, n)
	}
	slices.Sort(c.Sizes)
	return nil
}

// Reduce gives items their reduced vectors.
func Reduce(ctx context.Context, pca *reduce.PCA, items []similarity.Item) ([]similarity.Item, error) {
	full := make([]vector.Vector, len(items))
	for i := range items {
		full[i] = items[i].Vector
	}
	short, err := pca.Transform(ctx, full)
	if err != nil {
		return nil, err
	}
	reduced := make([]similarity.Item, len(items))
	for i := range items {
		reduced[i] = similarity.Item{ID: items[i].ID, Vector: short[i]}
	}
	return reduced, nil
}

// index makes and saves the index of a size.
func (c *Corpus) index(items []similarity.Item, size int) error {
	x := similarity.NewIndex(similarity.Euclidean)
	if err := x.Add(items...); err != nil {
		return err
	}
	return x.SaveFile(c.path("index", size))
}
