package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace-go/millrace/embed/internal/cache"
	"github.com/millrace-go/millrace/internal/cachedir"
)

// sha256 of "hello"
const helloSum = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"

// fake is a part that is made of a text, and counts how often.
func fake(text string, made *atomic.Int32) part {
	return part{
		name: "fake", folder: "sub/fake",
		ways: []way{{
			id:   "1",
			sums: map[string]string{"file": helloSum, "other": ""},
			make: func(_ context.Context, b *workbench, out string) error {
				made.Add(1)
				err := os.WriteFile(filepath.Join(out, "file"), []byte(text), 0o644)
				return errors.Join(err, os.WriteFile(filepath.Join(out, "other"), nil, 0o644))
			},
		}},
	}
}

func newInstaller(t *testing.T) (*installer, *strings.Builder) {
	var said strings.Builder
	var mu sync.Mutex
	return &installer{dir: t.TempDir(), log: func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(&said, format+"\n", args...)
	}}, &said
}

// leftovers are temporary folders that should not be there.
func leftovers(t *testing.T, in *installer) []string {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(in.dir, temporary+"*"))
	if err != nil {
		t.Fatal(err)
	}
	return left
}

func TestInstallOnceAndAgainWhenChanged(t *testing.T) {
	in, said := newInstaller(t)
	var made atomic.Int32
	p := fake("hello", &made)
	file := filepath.Join(in.dir, p.folder, "file")
	install := func(want int32) {
		t.Helper()
		if err := in.install(t.Context(), []part{p}); err != nil {
			t.Fatal(err)
		}
		if data, err := os.ReadFile(file); err != nil || string(data) != "hello" {
			t.Errorf("%q, %v", data, err)
		}
		if made.Load() != want || leftovers(t, in) != nil {
			t.Errorf("made %d times, want %d; left %v", made.Load(), want, leftovers(t, in))
		}
	}
	install(1)
	install(1)

	now := time.Now().Add(time.Hour)
	if err := os.Chtimes(file, now, now); err != nil {
		t.Fatal(err)
	}
	install(1) // another time, but the same bytes
	if err := os.WriteFile(file, []byte("changed"), 0o644); err != nil {
		t.Fatal(err)
	}
	install(2)
	if !strings.Contains(said.String(), "changed: "+file) {
		t.Errorf("the changed file is not named: %s", said)
	}

	// The same size and time: only -verify sees it.
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(file, []byte("jello"), 0o644), os.Chtimes(file, time.Time{}, info.ModTime())); err != nil {
		t.Fatal(err)
	}
	in.verify = true
	install(3)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	install(4)
	if err := os.WriteFile(filepath.Join(in.dir, p.folder, receiptName), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	install(5)
	p.ways[0].id = "2"
	install(6)
}

func TestWrongSumIsNamedAndKeepsTheOld(t *testing.T) {
	in, _ := newInstaller(t)
	var made atomic.Int32
	if err := in.install(t.Context(), []part{fake("hello", &made)}); err != nil {
		t.Fatal(err)
	}
	bad := fake("jello", &made)
	bad.ways[0].id = "2"
	err := in.install(t.Context(), []part{bad})
	if err == nil || !strings.Contains(err.Error(), "fake: file differs from what was expected: sha256") {
		t.Errorf("%v", err)
	}
	data, err := os.ReadFile(filepath.Join(in.dir, "sub/fake/file"))
	if err != nil || string(data) != "hello" || leftovers(t, in) != nil {
		t.Errorf("%q, %v, left %v", data, err, leftovers(t, in))
	}
}

func TestInterruptedLeavesNothing(t *testing.T) {
	in, _ := newInstaller(t)
	ctx, cancel := context.WithCancel(t.Context())
	var made atomic.Int32
	p := fake("hello", &made)
	inner := p.ways[0].make
	p.ways[0].make = func(ctx context.Context, b *workbench, out string) error {
		cancel()
		return inner(ctx, b, out)
	}
	if err := in.install(ctx, []part{p}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(filepath.Join(in.dir, p.folder)); !errors.Is(err, os.ErrNotExist) || leftovers(t, in) != nil {
		t.Errorf("%v, left %v", err, leftovers(t, in))
	}
}

func TestTwoAtOnceMakeOnce(t *testing.T) {
	in, _ := newInstaller(t)
	// What a killed process left goes away.
	if err := os.MkdirAll(filepath.Join(in.dir, temporary+"old", "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	var made atomic.Int32
	var wg sync.WaitGroup
	for range 5 {
		each := *in
		wg.Go(func() {
			if err := each.install(t.Context(), []part{fake("hello", &made)}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if made.Load() != 1 || leftovers(t, in) != nil {
		t.Errorf("made %d times, left %v", made.Load(), leftovers(t, in))
	}
}

func TestWaitingForTheLockCanBeInterrupted(t *testing.T) {
	in, said := newInstaller(t)
	unlock, err := in.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := in.lock(ctx); !errors.Is(err, context.Canceled) || !strings.Contains(said.String(), "waiting for another") {
		t.Errorf("%v; said %s", err, said)
	}
}

func TestMissingToolsAreNamedAllAtOnce(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("MILLRACE_CACHE", filepath.Join(t.TempDir(), "new"))
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), nil, &stdout, &stderr); code != 1 || stdout.Len() > 0 {
		t.Errorf("code %d, said %s", code, &stdout)
	}
	if want := "setup: missing programs: c++; cargo; cc; go; strip; pip (python3 -m pip, pip3 or pip) or mvn (with Java) or npm for ONNX Runtime 1.29.0; pip (python3 -m pip, pip3 or pip) or mvn (with Java) for model all-MiniLM-L6-v2; install"; !strings.Contains(stderr.String(), want) {
		t.Errorf("%s\nwant %s", &stderr, want)
	}
}

func TestUnknownPlatformAndModel(t *testing.T) {
	if _, err := wanted("plan9/mips", nil); err == nil || err.Error() != "plan9/mips is not supported yet; supported are darwin/arm64, linux/amd64, linux/arm64" {
		t.Errorf("%v", err)
	}
	if _, err := wanted("linux/amd64", []string{"bert"}); err == nil || !strings.Contains(err.Error(), `unknown model "bert"; known: all-MiniLM-L6-v2, all-mpnet-base-v2, all-MiniLM-L6-v2-int8`) {
		t.Errorf("%v", err)
	}
	parts, err := wanted("linux/amd64", []string{"all-MiniLM-L6-v2", "all-mpnet-base-v2"})
	if err != nil || len(parts) != 4 {
		t.Errorf("%d parts, %v", len(parts), err)
	}
	if parts, err = wanted("darwin/arm64", []string{"none"}); err != nil || len(parts) != 2 {
		t.Errorf("none: %d parts, %v", len(parts), err)
	}
}

func TestFlags(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"-h"}, 0, "usage: setup"},
		{[]string{"-nonsense"}, 2, "not defined"},
		{[]string{"word"}, 2, `unexpected argument "word"`},
		{[]string{"-model", "x", "-dir", t.TempDir()}, 1, `unknown model "x"`},
	} {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), c.args, &stdout, &stderr); code != c.code || !strings.Contains(stderr.String(), c.want) {
			t.Errorf("%v: code %d, said %s", c.args, code, &stderr)
		}
	}
}

func TestPrintEnv(t *testing.T) {
	t.Setenv("CGO_LDFLAGS", "-O2 -g")
	var plain, shell strings.Builder
	printEnv(&plain, "/my cache", false)
	printEnv(&shell, "/it's", true)
	for want, got := range map[string]string{
		`CGO_LDFLAGS="-L/my cache/tokenizers-`: plain.String(),
		"MILLRACE_MODELS=/my cache/models\n":   plain.String(),
		`export CGO_LDFLAGS='-L/it'\''s/tok`:   shell.String(),
		"-amd64 -O2 -g'\n":                     shell.String(),
		"/libonnxruntime.so'\n":                shell.String(),
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
	usual, err := cachedir.Usual()
	if err != nil {
		t.Fatal(err)
	}
	var two strings.Builder
	if printEnv(&two, usual, false); strings.Count(two.String(), "\n") != 2 {
		t.Errorf("models are found there anyway:\n%s", &two)
	}
	// A second eval adds nothing.
	flags := "-L" + filepath.Join("/cache", cache.Tokenizers()) + " -O2 -g"
	t.Setenv("CGO_LDFLAGS", flags)
	var again strings.Builder
	printEnv(&again, "/cache", false)
	if !strings.HasPrefix(again.String(), "CGO_LDFLAGS="+flags+"\n") {
		t.Errorf("%s\nwant %s", &again, flags)
	}
}
