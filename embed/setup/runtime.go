package main

import (
	"context"
	"path"
	"path/filepath"

	"github.com/millrace-go/millrace/embed/internal/cache"
)

// library is ONNX Runtime's plain C library, which packages for other languages
// carry.
type library struct {
	artifact
	member string // the library in the package
	sum    string // sha256 of the library
}

// runtimePart is ONNX Runtime, from the first registry that can be reached.
func runtimePart(libraries []library) part {
	p := part{name: "ONNX Runtime " + cache.RuntimeVersion, folder: cache.Runtime()}
	for _, l := range libraries {
		p.ways = append(p.ways, way{
			client: l.client,
			id:     l.sum,
			sums:   map[string]string{cache.Library(): l.sum},
			make:   l.make,
		})
	}
	return p
}

func (l library) make(ctx context.Context, b *workbench, out string) error {
	file, err := b.fetch(ctx, l.artifact)
	if err != nil {
		return err
	}
	return unpack(file, func(member string) string {
		switch base := path.Base(member); {
		case member == l.member:
			return filepath.Join(out, cache.Library())
		case base == "LICENSE" || base == "ThirdPartyNotices.txt":
			return filepath.Join(out, base)
		}
		return ""
	})
}
