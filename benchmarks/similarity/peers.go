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
	"runtime"
	"strconv"
	"strings"

	"github.com/millrace-go/millrace/internal/cachedir"
)

//go:embed requirements.txt
var requirements []byte

//go:embed peers.py
var program string

// environment returns the Python that has the peers, and makes it the first
// time.
func environment(ctx context.Context, errs io.Writer) (python string, err error) {
	cache, err := cachedir.Dir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, fmt.Sprintf("similarity-peers-%x", sha256.Sum256(requirements))[:len("similarity-peers-")+12])
	python = filepath.Join(dir, "bin", "python")
	if _, err := os.Stat(filepath.Join(dir, "complete")); err == nil {
		return python, nil
	}
	_, _ = fmt.Fprintf(errs, "installing the peers into %s by pip, once\n", dir)
	list := filepath.Join(dir, "requirements.txt")
	for _, step := range []func() error{
		func() error { return os.RemoveAll(dir) },
		func() error { return command(ctx, errs, "python3", "-m", "venv", dir) },
		func() error { return os.WriteFile(list, requirements, 0o644) },
		func() error {
			return command(ctx, errs, python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", list)
		},
		func() error { return os.WriteFile(filepath.Join(dir, "complete"), nil, 0o644) },
	} {
		if err := step(); err != nil {
			return "", fmt.Errorf("installing the peers (this needs python3 with venv, and pip): %w", err)
		}
	}
	return python, nil
}

func command(ctx context.Context, errs io.Writer, name string, args ...string) error {
	c := exec.CommandContext(ctx, name, args...)
	c.Stdout, c.Stderr = errs, errs
	if err := c.Run(); err != nil {
		return fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return nil
}

// process is a Python with peers in it.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// start starts one. OpenBLAS has a kernel for each processor, and old versions
// do not know new processors; haswell has it take that of an older one, which
// faiss's needs and numpy's is slower by.
func start(ctx context.Context, python string, haswell bool, errs io.Writer) (*process, error) {
	threads := strconv.Itoa(runtime.GOMAXPROCS(0))
	c := exec.CommandContext(ctx, python, "-c", program)
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "OPENBLAS_CORETYPE=") {
			c.Env = append(c.Env, e)
		}
	}
	c.Env = append(c.Env, "OMP_NUM_THREADS="+threads, "OPENBLAS_NUM_THREADS="+threads)
	if haswell && runtime.GOARCH == "amd64" {
		c.Env = append(c.Env, "OPENBLAS_CORETYPE=Haswell")
	}
	c.Stderr = errs
	in, err := c.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	return &process{c, in, bufio.NewReader(out)}, nil
}

func (p *process) close() error {
	_ = p.in.Close() // ends its loop
	return p.cmd.Wait()
}

// ask sends a request and reads the answer.
func (p *process) ask(request, answer any) error {
	b, err := json.Marshal(request)
	if err != nil {
		return err
	}
	if _, err := p.in.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("the peers' process: %w", err)
	}
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("the peers' process ended: %w", err)
	}
	return json.Unmarshal(line, answer)
}
