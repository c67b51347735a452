package archive

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"

	"github.com/millrace-go/millrace/embed"
	"github.com/millrace-go/millrace/internal/cachedir"
	"github.com/millrace-go/millrace/similarity/vector"
)

// Vectors embeds the texts by an installed model (see [embed.Installed]), which
// takes a minute or more for 10,000 of them. They are kept in the cache folder,
// also when it is interrupted, so that the next one goes on from there.
func Vectors(ctx context.Context, texts []string, model string, log io.Writer) (vectors []vector.Vector, err error) {
	m, err := embed.Open(embed.Installed(model))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	f, err := open(texts, m.Space())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	kept, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	size := 4 * m.Dim()
	kept = kept[:min(len(kept)/size, len(texts))*size] // the last one may be cut short
	for len(kept) < size*len(texts) {
		first := len(kept) / size
		_, _ = fmt.Fprintf(log, "embedding the tweets by %s, once: %d of %d\n", model, first, len(texts))
		some, err := m.Transform(ctx, texts[first:min(first+1024, len(texts))])
		if err != nil {
			return nil, err
		}
		at := len(kept)
		for _, v := range some {
			for _, x := range v.Values {
				kept = binary.LittleEndian.AppendUint32(kept, math.Float32bits(x))
			}
		}
		if _, err := f.WriteAt(kept[at:], int64(at)); err != nil {
			return nil, err
		}
	}
	vectors = make([]vector.Vector, len(texts))
	for i := range vectors {
		v := vector.Vector{Space: m.Space(), Values: make([]float32, m.Dim())}
		for d := range v.Values {
			v.Values[d] = math.Float32frombits(binary.LittleEndian.Uint32(kept[i*size+4*d:]))
		}
		if err := v.CheckIn(m.Space(), m.Dim()); err != nil {
			return nil, fmt.Errorf("%s: vector %d: %w; remove the file", f.Name(), i, err)
		}
		vectors[i] = v
	}
	return vectors, nil
}

// open opens the file that keeps the vectors of the texts in the space.
func open(texts []string, space string) (*os.File, error) {
	cache, err := cachedir.Dir()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(cache, "vectors")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%q %q", space, texts)
	return os.OpenFile(filepath.Join(dir, fmt.Sprintf("tweets-%x.f32", h.Sum(nil)[:12])), os.O_RDWR|os.O_CREATE, 0o644)
}
