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
	"strconv"
	"strings"

	"github.com/millrace-go/millrace/benchmarks/internal/pyenv"
)

//go:embed requirements.txt
var requirements []byte

//go:embed peers.py
var program []byte

// environment has scikit-learn, numpy and faiss.
func environment() pyenv.Environment {
	return pyenv.Environment{Name: "pca-peers", Size: "300 MB, half a minute", Requirements: requirements}
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
