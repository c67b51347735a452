package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/millrace-go/millrace/internal/cachedir"
)

//go:embed requirements.txt
var requirements []byte

//go:embed peers.py
var program []byte

// install makes a Python environment with the peers in the cache folder, once,
// and names its interpreter.
func install(ctx context.Context, log io.Writer) (string, error) {
	cache, err := cachedir.Dir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, fmt.Sprintf("pca-peers-%x", sha256.Sum256(requirements))[:len("pca-peers-")+12])
	python, installed := filepath.Join(dir, "bin", "python"), filepath.Join(dir, "installed")
	if _, err := os.Stat(installed); err == nil {
		return python, nil
	}
	fmt.Fprintf(log, "installing scikit-learn, numpy and faiss into %s (300 MB, half a minute)\n", dir)
	if err := os.RemoveAll(dir); err != nil { // what an interrupted set-up left
		return "", err
	}
	list := filepath.Join(dir, "requirements.txt")
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
	if err := os.WriteFile(list, requirements, 0o644); err != nil {
		return "", err
	}
	if err := run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:", "-r", list); err != nil {
		return "", err
	}
	return python, os.WriteFile(installed, nil, 0o644)
}

// peer is a Python process that holds the vectors and waits.
type peer struct {
	name string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
}

// startPeer starts one. Each has the environment in which it is fastest: the
// OpenBLAS in faiss's wheel is too old to know newer processors, and needs to be
// told of one; numpy's is better left alone.
func startPeer(ctx context.Context, python, name, vectors string, components int) (*peer, error) {
	cmd := exec.CommandContext(ctx, python, "-c", string(program), name, vectors, strconv.Itoa(components))
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "OPENBLAS_CORETYPE=") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	if name == "faiss" {
		cmd.Env = append(cmd.Env, "OPENBLAS_CORETYPE=Haswell")
	}
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	p := &peer{name, cmd, in, bufio.NewReader(out)}
	if _, err := p.answer(); err != nil {
		return nil, err
	}
	return p, nil
}

// do has it do something, and tells how many seconds it took.
func (p *peer) do(command string, args ...string) (float64, error) {
	if _, err := fmt.Fprintln(p.in, command, strings.Join(args, " ")); err != nil {
		return 0, fmt.Errorf("%s: %w", p.name, err)
	}
	return p.answer()
}

func (p *peer) answer() (float64, error) {
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		return 0, fmt.Errorf("%s ended: %w", p.name, err)
	}
	var a struct{ Seconds float64 }
	if err := json.Unmarshal(line, &a); err != nil {
		return 0, fmt.Errorf("%s said %q: %w", p.name, line, err)
	}
	return a.Seconds, nil
}

// close ends it.
func (p *peer) close() {
	_ = p.in.Close()
	_ = p.cmd.Wait()
}
