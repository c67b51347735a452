package main

import (
	"archive/zip"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// unzip writes the members that to gives a file name for.
func unzip(file string, to func(member string) string) error {
	z, err := zip.OpenReader(file)
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(file), err)
	}
	defer z.Close()
	for _, f := range z.File {
		if strings.HasSuffix(f.Name, "/") {
			continue
		}
		if !filepath.IsLocal(f.Name) {
			return fmt.Errorf("%s: member %q would land outside the folder", filepath.Base(file), f.Name)
		}
		name := to(f.Name)
		if name == "" {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := writeFile(name, func(w io.Writer) error { return copyOut(w, f) }); err != nil {
			return err
		}
	}
	return nil
}

// copyMember writes the one member whose name matches the pattern.
func copyMember(w io.Writer, file, pattern string) error {
	z, err := zip.OpenReader(file)
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(file), err)
	}
	defer z.Close()
	for _, f := range z.File {
		if ok, err := path.Match(pattern, f.Name); err != nil {
			return err
		} else if ok {
			return copyOut(w, f)
		}
	}
	return fmt.Errorf("%s has no member %s", filepath.Base(file), pattern)
}

func copyOut(w io.Writer, f *zip.File) error {
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(w, r)
	return err
}
