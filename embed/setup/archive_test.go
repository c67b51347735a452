package main

import (
	"archive/zip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func writeZip(t *testing.T, members ...string) string {
	t.Helper()
	contents := map[string]string{}
	for _, m := range members {
		contents[m] = "content of " + m
	}
	return writeZipOf(t, contents)
}

// writeZipOf writes a zip of members with their contents.
func writeZipOf(t *testing.T, contents map[string]string) string {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "a.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z := zip.NewWriter(f)
	for m, content := range contents {
		w, err := z.Create(m)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(m, "/") {
			continue
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

func TestUnpack(t *testing.T) {
	out := t.TempDir()
	file := writeZip(t, "m/", "m/a.json", "m/1_Pooling/config.json", "m/desktop.ini")
	err := unpack(file, func(member string) string {
		if strings.HasSuffix(member, ".ini") {
			return ""
		}
		return filepath.Join(out, member)
	})
	if err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(filepath.Join(out, "m/1_Pooling/config.json")); err != nil || string(data) != "content of m/1_Pooling/config.json" {
		t.Errorf("%s, %v", data, err)
	}
	if _, err := os.Stat(filepath.Join(out, "m/desktop.ini")); err == nil {
		t.Error("desktop.ini was written")
	}
}

func TestUnpackStaysInside(t *testing.T) {
	err := unpack(writeZip(t, "../evil"), func(member string) string {
		t.Errorf("asked where to write %q", member)
		return ""
	})
	if err == nil || !strings.Contains(err.Error(), "outside") {
		t.Errorf("%v", err)
	}
}

func TestCopyMember(t *testing.T) {
	file := writeZip(t, "x/input/a.zip.001", "y")
	var got strings.Builder
	if err := copyMember(&got, file, "*/input/a.zip.*"); err != nil || got.String() != "content of x/input/a.zip.001" {
		t.Errorf("%s, %v", &got, err)
	}
	if err := copyMember(&got, file, "*/nothing"); err == nil || !strings.Contains(err.Error(), "a.zip: it has no member */nothing") {
		t.Errorf("%v", err)
	}
}
