package emulator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"cloud.google.com/go/bigquery"
	"google.golang.org/api/option"
)

// Project is the project id that clients of an Emulator use.
const Project = "millrace"

// Emulator is a running emulator process. It ends with [Emulator.Close], or
// with this process, however that ends.
type Emulator struct {
	// URL is the REST endpoint, for option.WithEndpoint.
	URL string
	// Storage is the address of the gRPC Storage API, which takes no
	// encryption and no login.
	Storage string

	cmd    *exec.Cmd
	stdin  io.Closer
	said   *tail
	exited chan struct{} // closed after the process has ended
}

// Start starts an emulator on free ports of 127.0.0.1 and waits until it
// answers, which takes 1 to 5 s; ctx bounds only that wait. Tables are kept
// in dir, or in memory if dir is empty. An emulator that is not installed is
// an error that says to run `make setup`.
func Start(ctx context.Context, dir string) (*Emulator, error) {
	home, err := folder()
	if err != nil {
		return nil, err
	}
	if !complete(home) {
		return nil, setupHint(home)
	}
	// Another process may take a port between our look and the emulator's.
	const tries = 3
	for try := 1; ; try++ {
		e, err := start(ctx, home, dir)
		if err == nil || ctx.Err() != nil || try == tries {
			return e, err
		}
	}
}

func start(ctx context.Context, home, dir string) (*Emulator, error) {
	rest, grpc, err := freePorts(ctx)
	if err != nil {
		return nil, err
	}
	args := []string{"-I", filepath.Join(home, "launch.py"), "start",
		"--rest-host", "127.0.0.1", "--rest-port", strconv.Itoa(rest),
		"--grpc-host", "127.0.0.1", "--grpc-port", strconv.Itoa(grpc),
		"--project", Project, "--log-level", "warning"}
	if dir == "" {
		args = append(args, "--ephemeral")
	} else {
		if dir, err = filepath.Abs(dir); err != nil {
			return nil, fmt.Errorf("emulator: %w", err)
		}
		args = append(args, "--persistent", "--data-dir", dir)
	}
	e := &Emulator{
		URL:     fmt.Sprintf("http://127.0.0.1:%d/bigquery/v2/", rest),
		Storage: fmt.Sprintf("127.0.0.1:%d", grpc),
		cmd:     exec.Command(interpreter(home), args...), //nolint:noctx // it lives until Close, beyond ctx
		said:    &tail{most: 2000},
		exited:  make(chan struct{}),
	}
	e.cmd.Env = append(os.Environ(), "BQEMU_ENABLE_FORMAT_EXTENSIONS=false")
	e.cmd.Stdout, e.cmd.Stderr = e.said, e.said
	if e.stdin, err = e.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("emulator: %w", err)
	}
	if err := e.cmd.Start(); err != nil {
		return nil, fmt.Errorf("emulator: %w", err)
	}
	go func() { // ends with the process, which Close waits for
		_ = e.cmd.Wait()
		close(e.exited)
	}()
	if err := e.ready(ctx, fmt.Sprintf("http://127.0.0.1:%d/readyz", rest)); err != nil {
		_ = e.Close()
		return nil, err
	}
	return e, nil
}

func (e *Emulator) ready(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return fmt.Errorf("emulator: %w", err)
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-e.exited:
			return fmt.Errorf("emulator: ended at its start: %v\n%s", e.cmd.ProcessState, e.said)
		case <-ctx.Done():
			return fmt.Errorf("emulator: not ready: %w\n%s", ctx.Err(), e.said)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Client returns a client of the emulator for [Project]; the caller closes it.
// It mends two things on the way: a failed query comes as the HTTP 400 that
// the service sends (the emulator says 200, and the client would see no rows
// and no error), and the chunks of a resumable upload go by PUT and are
// acknowledged as the service does it.
func (e *Emulator) Client(ctx context.Context) (*bigquery.Client, error) {
	client, err := bigquery.NewClient(ctx, Project, option.WithEndpoint(e.URL),
		option.WithHTTPClient(&http.Client{Transport: mender{http.DefaultTransport}}))
	if err != nil {
		return nil, fmt.Errorf("emulator: %w", err)
	}
	return client, nil
}

// Close stops the process and waits for its end. Calling it again is harmless.
func (e *Emulator) Close() error {
	_ = e.stdin.Close() // the launcher takes this as the order to stop
	_ = e.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-e.exited:
		return nil
	case <-time.After(5 * time.Second):
	}
	if err := e.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("emulator: stopping process %d: %w", e.cmd.Process.Pid, err)
	}
	<-e.exited
	return nil
}

// freePorts finds two ports that nobody listens on.
func freePorts(ctx context.Context) (a, b int, err error) {
	var ports [2]int
	for i := range ports {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return 0, 0, fmt.Errorf("emulator: %w", err)
		}
		defer l.Close() // both stay open until the second is found, so they differ
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports[0], ports[1], nil
}
