package pgserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/millrace-go/millrace/internal/child"
)

// Server is a running PostgreSQL, whose data is gone with it. It ends with
// [Server.Close], or with this process, however that ends.
type Server struct {
	// URL is where it listens, on 127.0.0.1, for clients: user, without a
	// password, and database.
	URL string

	dir     string
	process *child.Process
	said    *os.File
}

// nobody runs the server where this process is root's, which PostgreSQL
// refuses.
const nobody = 65534

// Start makes a data folder and starts a server on it, and waits until it
// answers: some 2 s. ctx bounds only that. A server that is not installed is an
// error that says to run `make setup`.
func Start(ctx context.Context) (*Server, error) {
	home, err := folder()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(home); err != nil {
		return nil, fmt.Errorf("pgserver: PostgreSQL is not installed in %s: run `make setup`", home)
	}
	dir, err := os.MkdirTemp("", "millrace-postgresql-")
	if err != nil {
		return nil, fmt.Errorf("pgserver: %w", err)
	}
	s := &Server{dir: dir}
	if err := s.start(ctx, home); err != nil {
		return nil, errors.Join(fmt.Errorf("pgserver: %w", err), s.Close())
	}
	return s, nil
}

func (s *Server) start(ctx context.Context, home string) error {
	data := filepath.Join(s.dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		return err
	}
	if os.Geteuid() == 0 {
		// The cache may be where only root gets at.
		tree := filepath.Join(s.dir, "tree")
		if err := os.CopyFS(tree, os.DirFS(home)); err != nil {
			return err
		}
		if err := errors.Join(os.Chmod(s.dir, 0o755), os.Chown(data, nobody, nobody)); err != nil {
			return err
		}
		home = tree
	}
	bin := filepath.Join(home, "pgserver", "pginstall", "bin")
	initdb := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "-D", data, "-U", "millrace", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions")
	own(initdb, s.dir)
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	const tries = 3 // another process may take the port between our look and the server's
	for try := 1; ; try++ {
		err := s.listen(ctx, filepath.Join(bin, "postgres"), data)
		if err == nil || try == tries || ctx.Err() != nil {
			return err
		}
	}
}

func (s *Server) listen(ctx context.Context, postgres, data string) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		return err
	}
	if s.said, err = os.Create(filepath.Join(s.dir, "log")); err != nil {
		return err
	}
	s.URL = fmt.Sprintf("postgres://millrace@127.0.0.1:%d/postgres?sslmode=disable", port)
	// Nothing is to outlive the server, so nothing has to reach the disk.
	cmd := exec.Command(postgres, "-D", data, "-h", "127.0.0.1", "-p", strconv.Itoa(port), "-k", "", //nolint:noctx // it lives until Close, beyond ctx
		"-c", "fsync=off", "-c", "full_page_writes=off", "-c", "synchronous_commit=off", "-c", "shared_buffers=256MB", "-c", "max_wal_size=2GB")
	own(cmd, s.dir)
	cmd.Stdout, cmd.Stderr = s.said, s.said
	if s.process, err = child.Start(cmd); err != nil {
		return err
	}
	return s.ready(ctx, port)
}

// own makes cmd nobody's, if it would be root's.
func own(cmd *exec.Cmd, dir string) {
	cmd.Dir = dir
	cmd.SysProcAttr = child.Attributes(syscall.SIGQUIT) // it then stops at once, with all its children
	if os.Geteuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody, NoSetGroups: true}
	}
}

// ready waits until the server says that it is, and takes a connection.
func (s *Server) ready(ctx context.Context, port int) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		if answers(ctx, port) && s.logged("ready to accept connections") {
			return nil
		}
		select {
		case <-s.process.Done():
			return fmt.Errorf("ended at its start: %v\n%s", s.process.State(), s.log())
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w\n%s", ctx.Err(), s.log())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func answers(ctx context.Context, port int) bool {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	return c.Close() == nil
}

func (s *Server) log() []byte {
	b, err := os.ReadFile(s.said.Name())
	if err != nil {
		return []byte(err.Error())
	}
	return b[max(0, len(b)-2000):]
}

func (s *Server) logged(text string) bool { return bytes.Contains(s.log(), []byte(text)) }

// Close stops the server, waits for its end and removes its data. Calling it
// again is harmless.
func (s *Server) Close() error {
	if s.process != nil {
		_ = s.process.Signal(syscall.SIGINT) // a fast stop, which ends connections
		select {
		case <-s.process.Done():
		case <-time.After(10 * time.Second):
			_ = s.process.Signal(syscall.SIGKILL)
			<-s.process.Done()
		}
		_ = s.said.Close()
	}
	if err := os.RemoveAll(s.dir); err != nil {
		return fmt.Errorf("pgserver: %w", err)
	}
	return nil
}
