package main

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/millrace-go/millrace/internal/cachedir"
)

//go:embed peers/peer.py
var program []byte

//go:embed peers/requirements.txt
var requirements []byte

//go:embed peers/requirements-torch.txt
var torchRequirements []byte

// environment is a Python environment in the cache folder.
type environment struct {
	name, size   string
	requirements []byte
}

func small() environment { return environment{"embed-peers", "300 MB", requirements} }
func large() environment {
	return environment{"embed-peers-torch", "6 GB, of which 3 GB are to fetch", torchRequirements}
}

// install makes the environment, once, and names its interpreter.
func (e environment) install(ctx context.Context, log io.Writer) (string, error) {
	cache, err := cachedir.Dir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, fmt.Sprintf("%s-%.6x", e.name, sha256.Sum256(e.requirements)))
	python, installed := filepath.Join(dir, "bin", "python"), filepath.Join(dir, "installed")
	if _, err := os.Stat(installed); err == nil {
		return python, nil
	}
	_, _ = fmt.Fprintf(log, "installing Python packages into %s (%s)\n", dir, e.size)
	if err := os.RemoveAll(dir); err != nil { // what an interrupted set-up left
		return "", err
	}
	run := func(name string, args ...string) error {
		out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("installing the peers: %s %s: %w\n%s", name, strings.Join(args, " "), err, out)
		}
		return nil
	}
	if err := run("python3", "-m", "venv", dir); err != nil {
		return "", err
	}
	list := filepath.Join(dir, "requirements.txt")
	if err := os.WriteFile(list, e.requirements, 0o644); err != nil {
		return "", err
	}
	err = run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:", "-r", list)
	if err != nil {
		return "", err
	}
	return python, os.WriteFile(installed, nil, 0o644)
}
