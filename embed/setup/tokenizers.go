package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"

	"github.com/millrace-go/millrace/embed/internal/cache"
)

// libtokenizers.a is built from the source that comes with its Go module. That
// source has one dependency which is not in a registry (tiktoken-rs, which
// Hugging Face's tokenizers do not use); the released crate takes its place.
// With the lock file every crate is pinned by checksum.
const (
	tokenizersModule = "github.com/daulet/tokenizers"
	tokenizersSum    = "h1:MmFYAEDFz69s/nNQfHg59DWqHz3v94m99kEZ/JbL+s4="
	tiktoken         = `tiktoken-rs = "=0.9.1"`
	// versionSymbol is what the Go module refers to, so that it does not link
	// with a library of another version.
	versionSymbol = "tokenizers_version_1_26_0"
)

//go:embed cargo/Cargo.lock
var cargoLock []byte

var tiktokenLine = regexp.MustCompile(`(?m)^tiktoken-rs = .*$`)

const tokenizersLibrary = "libtokenizers.a"

func tokenizersPart() part {
	lock := sha256.Sum256(cargoLock)
	return part{
		name:   "libtokenizers.a " + cache.TokenizersVersion,
		folder: cache.Tokenizers(),
		tools:  []string{"go", "cargo", "cc", "c++", "strip"},
		ways: []way{{
			client: none,
			id:     tokenizersSum + " " + hex.EncodeToString(lock[:]),
			// What cargo makes depends on the compiler: its sum is not known before.
			sums: map[string]string{tokenizersLibrary: ""},
			make: makeTokenizers,
		}},
	}
}

func makeTokenizers(ctx context.Context, b *workbench, out string) error {
	module, err := b.goModule(ctx, tokenizersModule, cache.TokenizersVersion, tokenizersSum)
	if err != nil {
		return err
	}
	src := filepath.Join(b.dir, "tokenizers")
	if err := os.CopyFS(filepath.Join(src, "crates"), os.DirFS(filepath.Join(module, "crates"))); err != nil {
		return err
	}
	for _, name := range []string{"Cargo.toml", "LICENSE"} {
		data, err := os.ReadFile(filepath.Join(module, name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(src, name), data, 0o644); err != nil {
			return err
		}
	}
	manifest := filepath.Join(src, "crates", "tokenizers", "Cargo.toml")
	data, err := os.ReadFile(manifest)
	if err != nil {
		return err
	}
	if !tiktokenLine.Match(data) {
		return errors.New("the tokenizers' Cargo.toml does not name tiktoken-rs")
	}
	// The module cache is read-only, and so are copies from it.
	if err := os.Remove(manifest); err != nil {
		return err
	}
	if err := os.WriteFile(manifest, tiktokenLine.ReplaceAll(data, []byte(tiktoken)), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(src, "Cargo.lock"), cargoLock, 0o644); err != nil {
		return err
	}

	b.log("libtokenizers.a: cargo compiles it, which takes a minute or two")
	target := filepath.Join(b.dir, "target")
	err = b.retry(ctx, func() error {
		cmd := exec.CommandContext(ctx, "cargo", "build", "--release", "--locked", "-p", "tokenizers-ffi", "--lib", "--target-dir", target)
		cmd.Dir = src
		return b.run(cmd, nil)
	})
	if err != nil {
		return err
	}
	library := filepath.Join(target, "release", "libtokenizers_ffi.a")
	// Without what only a debugger reads; the flag is both GNU's and macOS's.
	if err := b.run(exec.CommandContext(ctx, "strip", "-S", library), nil); err != nil {
		return err
	}
	if data, err = os.ReadFile(library); err != nil {
		return err
	}
	if !bytes.Contains(data, []byte(versionSymbol)) {
		return fmt.Errorf("%s lacks the symbol %s, which the Go module links with", tokenizersLibrary, versionSymbol)
	}
	if err := os.Rename(filepath.Join(src, "LICENSE"), filepath.Join(out, "LICENSE")); err != nil {
		return err
	}
	return os.Rename(library, filepath.Join(out, tokenizersLibrary))
}

// goModule downloads a Go module and returns the folder it is in.
func (b *workbench) goModule(ctx context.Context, module, version, want string) (string, error) {
	var answer bytes.Buffer
	err := b.retry(ctx, func() error {
		answer.Reset()
		cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", module+"@"+version)
		cmd.Dir = b.dir // outside any module, so that none is changed
		cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
		return b.run(cmd, &answer)
	})
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, answer.String())
	}
	var got struct{ Dir, Sum string }
	if err := json.Unmarshal(answer.Bytes(), &got); err != nil {
		return "", fmt.Errorf("go mod download %s: %w", module, err)
	}
	if got.Sum != want {
		return "", fmt.Errorf("%s %s %w: sum %s, want %s", module, version, errOther, got.Sum, want)
	}
	return got.Dir, nil
}
