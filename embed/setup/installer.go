package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// part is one thing to install: a folder that appears whole or not at all.
type part struct {
	name   string   // for people
	folder string   // below the installer's folder
	tools  []string // programs that making it needs, whichever way
	ways   []way    // to make it; the first that is open is taken

	why string // it is made now
}

// way is a way to make a part.
type way struct {
	client client            // the registry client that it needs
	id     string            // changes when another content is wanted
	sums   map[string]string // the files it must have, and their sha256 where known before
	// make puts the files into the folder out. It works in b.dir.
	make func(ctx context.Context, b *workbench, out string) error
}

// installer makes the parts that are missing.
type installer struct {
	dir    string
	verify bool // compare all files' sha256 again
	log    func(string, ...any)
	pause  time.Duration // before something is tried again

	clients   clients
	installed int // parts that were made
}

// install makes what is missing, one process at a time.
func (in *installer) install(ctx context.Context, parts []part) error {
	todo, err := in.missing(parts)
	if err != nil || len(todo) == 0 {
		return err
	}
	in.clients = clients{}
	if err := checkTools(ctx, todo, in.clients); err != nil {
		return err
	}
	if err := os.MkdirAll(in.dir, 0o755); err != nil {
		return err
	}
	unlock, err := in.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	// Another process may have made them while this one waited.
	if todo, err = in.missing(todo); err != nil {
		return err
	}
	for _, p := range todo {
		in.log("%s: %s", p.name, p.why)
		if err := in.makePart(ctx, p); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		in.installed++
	}
	return nil
}

// missing lists the parts that are not there as they should be.
func (in *installer) missing(parts []part) (todo []part, err error) {
	for _, p := range parts {
		if p.why, err = in.lacks(p); err != nil {
			return nil, err
		}
		if p.why != "" {
			todo = append(todo, p)
		}
	}
	return todo, nil
}

// lacks tells why a part must be made; empty when it is there.
func (in *installer) lacks(p part) (why string, err error) {
	folder := filepath.Join(in.dir, p.folder)
	r, err := readReceipt(folder)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "installing", nil
	case err != nil:
		return "installing again: " + err.Error(), nil //nolint:nilerr // that is what to do about it
	case !slices.ContainsFunc(p.ways, func(w way) bool { return w.id == r.ID }):
		return "installing another version", nil
	}
	changed, err := r.changed(folder, in.verify)
	if err != nil {
		return "", err
	}
	if len(changed) > 0 {
		return "installing again, since these files were changed: " + strings.Join(changed, ", "), nil
	}
	return "", nil
}

// makePart makes a part in the first way that works. What was fetched and is
// not what it should be ends the search: that is for a person to look at.
func (in *installer) makePart(ctx context.Context, p part) (err error) {
	for _, w := range p.ways {
		if _, ok := in.clients.find(ctx, w.client); !ok && w.client != none {
			continue
		}
		if err != nil {
			in.log("%v", err)
			in.log("%s: trying %s instead", p.name, w.client)
		}
		if err = in.makeBy(ctx, p, w); err == nil || ctx.Err() != nil || errors.Is(err, errOther) {
			return err
		}
	}
	return err
}

// makeBy makes a part in a temporary folder and moves it to its place.
func (in *installer) makeBy(ctx context.Context, p part, w way) error {
	tmp, err := os.MkdirTemp(in.dir, temporary)
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	out := filepath.Join(tmp, "out")
	if err := os.Mkdir(out, 0o755); err != nil {
		return err
	}
	if err := w.make(ctx, &workbench{dir: tmp, log: in.log, pause: in.pause, clients: in.clients}, out); err != nil {
		return err
	}
	for name, want := range w.sums {
		file := filepath.Join(out, filepath.FromSlash(name))
		if want == "" {
			_, err = os.Stat(file)
		} else {
			err = checkSum(file, want)
		}
		if err != nil {
			return err
		}
	}
	if err := writeReceipt(out, w.id); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}

	place := filepath.Join(in.dir, p.folder)
	if err := os.MkdirAll(filepath.Dir(place), 0o755); err != nil {
		return err
	}
	if err := os.Rename(place, filepath.Join(tmp, "old")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.Rename(out, place)
}

// temporary begins the names of folders that may be left by a killed process.
const temporary = ".tmp-"

// lock waits until no other process installs into the folder, and sweeps up
// what a killed one left.
func (in *installer) lock(ctx context.Context) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(in.dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for waited := false; ; waited = true {
		ok, err := tryLock(f)
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("locking %s: %w", f.Name(), err)
		}
		if ok {
			break
		}
		if !waited {
			in.log("waiting for another setup that works on %s", in.dir)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	left, err := filepath.Glob(filepath.Join(in.dir, temporary+"*"))
	if err == nil {
		for _, dir := range left {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}
