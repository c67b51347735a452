package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// client is a package registry's ordinary client.
type client string

const (
	pip   client = "pip"
	maven client = "Maven"
	npm   client = "npm"
	// none is for what no such client fetches.
	none client = ""
)

// commands are how a client may be called; the first that works is taken.
func (c client) commands() [][]string {
	switch c {
	case pip:
		return [][]string{{"python3", "-m", "pip"}, {"pip3"}, {"pip"}}
	case maven:
		return [][]string{{"mvn"}}
	case npm:
		return [][]string{{"npm"}}
	default:
		return nil
	}
}

// artifact is a file of another language's world in a package registry.
type artifact struct {
	client  client
	name    string // of the package; Maven's is group:artifact
	version string
	sha256  string
	mb      int      // its size, about
	tags    []string // pip's options that choose one of several wheels
}

// arguments make the client download the file to the folder it runs in, where
// into is.
func (a artifact) arguments(into string) []string {
	switch a.client {
	case pip:
		args := []string{"download", "-q", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:"}
		return append(append(args, a.tags...), "-d", into, a.name+"=="+a.version)
	case maven:
		return []string{
			"-q", "-B", "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy",
			"-Dartifact=" + a.name + ":" + a.version, "-DoutputDirectory=" + into,
		}
	default:
		return []string{"pack", "--silent", a.name + "@" + a.version}
	}
}

// errOther tells that something was fetched, and is not what it should be.
var errOther = errors.New("differs from what was expected")

// fetch downloads an artifact and returns its file's name.
func (b *workbench) fetch(ctx context.Context, a artifact) (string, error) {
	into, err := os.MkdirTemp(b.dir, "fetched-")
	if err != nil {
		return "", err
	}
	begin, ok := b.clients.find(ctx, a.client)
	if !ok {
		return "", fmt.Errorf("there is no %s", a.client)
	}
	b.log("fetching %s %s with %s, %d MB", a.name, a.version, a.client, a.mb)
	args := append(begin[1:len(begin):len(begin)], a.arguments(into)...)
	err = b.retry(ctx, func() error {
		defer b.stillFetching(a)()
		cmd := exec.CommandContext(ctx, begin[0], args...)
		cmd.Dir = into // outside of any project, whose settings would count
		return b.run(cmd, nil)
	})
	if err != nil {
		return "", err
	}
	got, err := filepath.Glob(filepath.Join(into, "*"))
	if err != nil || len(got) != 1 {
		return "", fmt.Errorf("%s downloaded %d files for %s %s, want one", a.client, len(got), a.name, a.version)
	}
	return got[0], checkSum(got[0], a.sha256)
}

// stillFetching says now and then that a download goes on, until stop is called.
func (b *workbench) stillFetching(a artifact) (stop func()) {
	done, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		tick := time.NewTicker(10 * time.Second)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				b.log("still fetching %s", a.name)
			}
		}
	}()
	return func() { close(done); <-gone }
}

// clients are the commands of the clients that were looked for; nil where
// there is none that works.
type clients map[client][]string

// find gives the command that a client's call begins with.
func (c clients) find(ctx context.Context, which client) (command []string, ok bool) {
	if command, looked := c[which]; looked {
		return command, command != nil
	}
	for _, try := range which.commands() {
		if _, err := exec.LookPath(try[0]); err != nil {
			continue
		}
		// Maven without Java, npm without node and python3 without pip fail here.
		args := append(try[1:len(try):len(try)], "--version")
		if exec.CommandContext(ctx, try[0], args...).Run() == nil {
			command = try
			break
		}
	}
	if ctx.Err() == nil {
		c[which] = command
	}
	return command, command != nil
}

// names lists clients of which one is enough, with what they need.
func names(of []client) string {
	var all []string
	for _, c := range of {
		switch c {
		case pip:
			all = append(all, "pip (python3 -m pip, pip3 or pip)")
		case maven:
			all = append(all, "mvn (with Java)")
		default:
			all = append(all, string(c))
		}
	}
	return strings.Join(all, " or ")
}
