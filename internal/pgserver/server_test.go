package pgserver

import (
	"net"
	"net/url"
	"os"
	"strings"
	"testing"
)

func TestServer(t *testing.T) {
	s, err := Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	at, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", at.Host)
	if err != nil || at.Hostname() != "127.0.0.1" {
		t.Fatalf("at %s: %v", at.Host, err)
	}
	_ = c.Close()
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := net.Dial("tcp", at.Host); err == nil {
		t.Error("it listens after Close")
	}
	if _, err := os.Stat(s.dir); err == nil {
		t.Errorf("%s is left", s.dir)
	}
}

func TestStartSaysWhatToRun(t *testing.T) {
	t.Setenv("MILLRACE_CACHE", t.TempDir())
	if _, err := Start(t.Context()); err == nil || !strings.Contains(err.Error(), "make setup") {
		t.Fatalf("got %v, want an error that names `make setup`", err)
	}
}
