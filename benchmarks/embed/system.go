package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

// system is who is measured: a process that holds the model and the texts, and
// waits for its turns.
type system struct {
	name    string // as the results have it
	label   string // as people read it
	stage   bool   // it has a whole stage to offer
	latency bool   // it is millrace's setting for single texts

	ready string // its versions
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Scanner
	said  *said
}

// said is the end of what a process says on standard error.
type said struct {
	mu   sync.Mutex
	text []byte
}

func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text = append(s.text, b...)
	s.text = s.text[max(0, len(s.text)-2000):]
	return len(b), nil
}

// startSystem starts the process and waits until it has loaded the model.
func startSystem(ctx context.Context, s system, cmd *exec.Cmd) (*system, error) {
	s.cmd, s.said = cmd, &said{}
	cmd.Stderr, cmd.WaitDelay = s.said, 10*time.Second
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", s.label, err)
	}
	s.in, s.out = in, bufio.NewScanner(out)
	s.out.Buffer(nil, 64<<20)
	ready, err := s.answer(ctx)
	s.ready = ready.Ready
	if err != nil {
		s.close()
		return nil, err
	}
	return &s, nil
}

// startPeer starts one of the Python peers.
func startPeer(ctx context.Context, o *options, python string, p peer) (*system, error) {
	cmd := exec.CommandContext(ctx, python, "-c", string(program), p.name, o.model, o.file, strconv.Itoa(o.threads), strconv.Itoa(p.batch))
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "OPENBLAS_CORETYPE=") { // numpy knows better
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, "HF_HUB_OFFLINE=1", "TOKENIZERS_PARALLELISM=true")
	return startSystem(ctx, system{name: p.name, label: p.name}, cmd)
}

// startOwn starts this program as millrace.
func startOwn(ctx context.Context, s system, w worker) (*system, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(w)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), workerVariable+"="+string(text))
	return startSystem(ctx, s, cmd)
}

// do has it do something.
func (s *system) do(ctx context.Context, command string) (answer, error) {
	if _, err := fmt.Fprintln(s.in, command); err != nil {
		return answer{}, fmt.Errorf("%s: %w: %s", s.label, err, s.said.text)
	}
	return s.answer(ctx)
}

func (s *system) answer(ctx context.Context) (a answer, err error) {
	if !s.out.Scan() {
		_ = s.cmd.Wait() // what it said tells more
		if ctx.Err() != nil {
			return a, ctx.Err()
		}
		return a, fmt.Errorf("%s ended: %s", s.label, s.said.text)
	}
	if err := json.Unmarshal(s.out.Bytes(), &a); err != nil {
		return a, fmt.Errorf("%s said %q: %w", s.label, s.out.Bytes(), err)
	}
	return a, nil
}

// peak is the most memory that the process has had, in MiB.
func (s *system) peak() (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(text) {
		if size, ok := bytes.CutPrefix(line, []byte("VmHWM:")); ok {
			kib, err := strconv.Atoi(string(bytes.TrimSpace(bytes.TrimSuffix(bytes.TrimSpace(size), []byte("kB")))))
			return float64(kib) / 1024, err
		}
	}
	return 0, fmt.Errorf("%s: its peak memory is not known here", s.label)
}

// close ends the process.
func (s *system) close() {
	_ = s.in.Close()
	_ = s.cmd.Wait() // it has done its work
}
