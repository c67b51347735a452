package main

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"

	"github.com/millrace-go/millrace/benchmarks/internal/pyenv"
)

//go:embed requirements.txt
var requirements []byte

//go:embed peers.py
var program string

// environment has faiss, numpy, scikit-learn and usearch.
func environment() pyenv.Environment {
	return pyenv.Environment{Name: "similarity-peers", Size: "420 MB, half a minute", Requirements: requirements}
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
