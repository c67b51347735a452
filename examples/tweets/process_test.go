package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// program is the app as it is shipped, but with the race detector in it.
var program string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "tweets-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	program = filepath.Join(dir, "tweets")
	if out, err := exec.CommandContext(context.Background(), "go", "build", "-race", "-o", program, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the app: %v\n%s", err, out)
		return 1
	}
	preparedSample = sync.OnceValues(func() (string, error) {
		data := filepath.Join(dir, "sample")
		out, err := exec.CommandContext(context.Background(), program, "prepare", "-data", data).CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("prepare the sample: %w\n%s", err, out)
		}
		return data, nil
	})
	return m.Run()
}

// preparedSample prepares the sample with the real model, once for all tests.
var preparedSample func() (string, error)

// sampleData is the folder where the sample is prepared.
func sampleData(t *testing.T) string {
	t.Helper()
	dir, err := preparedSample()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// process is the app at work. It is killed at the test's end unless it has
// ended by then.
type process struct {
	cmd    *exec.Cmd
	name   string
	stdout *bufio.Scanner // read it to its end before wait
	ended  chan struct{}
	err    error // of Wait, once ended

	mu     sync.Mutex
	stderr bytes.Buffer
}

// start starts the app. Without an input, its standard input is empty.
func start(t *testing.T, in io.Reader, args ...string) *process {
	t.Helper()
	p := &process{name: strings.Join(args, " "), ended: make(chan struct{})}
	// Not by t.Context(): that would kill it before the cleanups stop it.
	p.cmd = exec.CommandContext(context.Background(), program, args...)
	p.cmd.Stdin = in
	p.cmd.Stderr = p
	out, w, err := os.Pipe() // exec's own would be closed by Wait, read or not
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stdout = w
	p.stdout = bufio.NewScanner(out)
	p.stdout.Buffer(nil, 1<<20)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	go func() {
		defer close(p.ended)
		p.err = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.kill()
		_ = out.Close()
		if strings.Contains(p.messages(), "DATA RACE") { // the killed have no exit code to tell
			t.Errorf("tweets %s: a data race", p.name)
		}
		if t.Failed() {
			t.Logf("tweets %s: %v, its standard error:\n%s", p.name, p.err, p.messages())
		}
	})
	return p
}

// Write takes what the process says on standard error.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.Write(b)
}

func (p *process) messages() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.String()
}

// kill is kill -9, and returns when the process is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended by itself
	<-p.ended
}

// patience is how long a test waits for what should take seconds.
const patience = 2 * time.Minute

// wait waits for the end and returns the exit code and what is left of
// standard output.
func (p *process) wait(t *testing.T) (code int, out []string) {
	t.Helper()
	timeout := time.AfterFunc(patience, func() { _ = p.cmd.Process.Kill() })
	for p.stdout.Scan() {
		out = append(out, p.stdout.Text())
	}
	<-p.ended
	if !timeout.Stop() {
		t.Fatalf("tweets %s has not ended after %v", p.name, patience)
	}
	return p.cmd.ProcessState.ExitCode(), out
}

// line reads the next line of standard output.
func (p *process) line(t *testing.T) string {
	t.Helper()
	timeout := time.AfterFunc(patience, func() { _ = p.cmd.Process.Kill() })
	defer timeout.Stop()
	if !p.stdout.Scan() {
		t.Fatalf("tweets %s: standard output ended: %v", p.name, p.stdout.Err())
	}
	return p.stdout.Text()
}

// says waits until something was said on standard error, and returns the
// pattern's first group.
func (p *process) says(t *testing.T, pattern string) string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	for deadline := time.Now().Add(patience); ; {
		if m := re.FindStringSubmatch(p.messages()); m != nil {
			return m[len(m)-1]
		}
		select {
		case <-p.ended:
			t.Fatalf("tweets %s ended without saying %q", p.name, pattern)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("tweets %s has not said %q after %v", p.name, pattern, patience)
		}
	}
}

// await waits until something has come true.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %s after %v", what, patience)
		}
	}
}

// startBroker starts the broker command, and returns what to give as -brokers.
func startBroker(t *testing.T) (address string) {
	t.Helper()
	return start(t, nil, "broker", "-port", "0").says(t, `-brokers (\S+);`)
}

// runApp runs the app to its end.
func runApp(t *testing.T, in string, args ...string) (code int, out []string, messages string) {
	t.Helper()
	p := start(t, strings.NewReader(in), args...)
	code, out = p.wait(t)
	return code, out, p.messages()
}
