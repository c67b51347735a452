package corpus

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/millrace-go/millrace/examples/tweets/internal/archive"
	"github.com/millrace-go/millrace/internal/sealed"
	"github.com/millrace-go/millrace/reduce"
	"github.com/millrace-go/millrace/similarity"
)

// Corpus is a folder that was prepared.
type Corpus struct {
	Dir string
	Manifest
}

// Manifest says what a corpus was made of.
type Manifest struct {
	Archive string        `json:"archive"` // its name, for people
	SHA256  string        `json:"sha256"`  // of its bytes
	Space   string        `json:"space"`   // of the vectors, that is, the model
	Dims    int           `json:"dims"`
	Sizes   []int         `json:"sizes"` // of the reductions
	Stats   archive.Stats `json:"stats"`
	Partial bool          `json:"partial,omitempty"` // being made, or interrupted
}

const manifestFile = "corpus.json"

// ErrNotPrepared is what Open returns for a folder without a whole corpus.
var ErrNotPrepared = errors.New("not prepared")

// Open finds the corpus in a folder.
func Open(dir string) (*Corpus, error) {
	c, err := read(dir)
	if err == nil && c.Partial {
		return nil, fmt.Errorf("corpus %s: %w", dir, ErrNotPrepared)
	}
	return c, err
}

// read reads the manifest, also a partial corpus's.
func read(dir string) (*Corpus, error) {
	b, err := os.ReadFile(filepath.Join(dir, manifestFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("corpus %s: %w", dir, ErrNotPrepared)
	}
	if err != nil {
		return nil, fmt.Errorf("corpus: %w", err)
	}
	c := &Corpus{Dir: dir}
	if err := json.Unmarshal(b, &c.Manifest); err != nil {
		return nil, fmt.Errorf("corpus: %s: %w", filepath.Join(dir, manifestFile), err)
	}
	return c, nil
}

// Posts loads the cleaned posts by their ids.
func (c *Corpus) Posts() (map[string]archive.Post, error) {
	posts := make(map[string]archive.Post, c.Stats.Kept)
	err := readPosts(c.path("posts.jsonl"), func(p archive.Post) error {
		posts[p.ID] = p
		return nil
	})
	return posts, err
}

// Index loads the index of a size; 0 is the full one.
func (c *Corpus) Index(size int) (*similarity.Index, error) {
	if err := c.has(size); err != nil {
		return nil, err
	}
	return similarity.LoadFile(c.path("index", size))
}

// PCA loads the reduction to a size, nil for 0.
func (c *Corpus) PCA(size int) (*reduce.PCA, error) {
	if err := c.has(size); size == 0 || err != nil {
		return nil, err
	}
	return reduce.LoadFile(c.path("pca", size))
}

// Items reads all posts' full vectors, in the order they were made.
func (c *Corpus) Items() ([]similarity.Item, error) {
	file, err := os.Open(c.path("vectors"))
	if err != nil {
		return nil, fmt.Errorf("corpus: %w", err)
	}
	defer func() { _ = file.Close() }() // only read
	items, _ := readItems(file)
	if len(items) != c.Stats.Kept {
		return nil, fmt.Errorf("corpus: %s holds %d whole vectors of %d; delete %s and run `tweets prepare` to make the rest again",
			file.Name(), len(items), c.Stats.Kept, c.path(manifestFile))
	}
	return items, nil
}

func (c *Corpus) has(size int) error {
	if size == 0 || slices.Contains(c.Sizes, size) {
		return nil
	}
	return fmt.Errorf("corpus %s has no reduction to %d dimensions, only to %v; run `tweets prepare -sizes %d`", c.Archive, size, c.Sizes, size)
}

// path names a file of the corpus, for a size if one is given and not 0.
func (c *Corpus) path(name string, size ...int) string {
	if len(size) > 0 && size[0] != 0 {
		name += "-" + strconv.Itoa(size[0])
	}
	return filepath.Join(c.Dir, name)
}

// save writes the manifest.
func (c *Corpus) save() error {
	b, err := json.MarshalIndent(c.Manifest, "", "  ")
	if err != nil {
		return fmt.Errorf("corpus: %w", err)
	}
	err = sealed.WriteFile(c.path(manifestFile), func(w io.Writer) error {
		_, err := w.Write(append(b, '\n'))
		return err
	})
	if err != nil {
		return fmt.Errorf("corpus: %s: %w", c.path(manifestFile), err)
	}
	return nil
}

func readPosts(path string, each func(archive.Post) error) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("corpus: %w", err)
	}
	defer func() { _ = file.Close() }() // only read
	for d := json.NewDecoder(bufio.NewReaderSize(file, 1<<20)); d.More(); {
		var p archive.Post
		if err := d.Decode(&p); err != nil {
			return fmt.Errorf("corpus: %s: %w", path, err)
		}
		if err := each(p); err != nil {
			return err
		}
	}
	return nil
}
