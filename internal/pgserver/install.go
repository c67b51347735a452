package pgserver

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/millrace-go/millrace/internal/cachedir"
)

const (
	version = "0.1.4" // of the wheel
	sum     = "d595789b47624a3d963aa9aa6359da9be31beb7e61f1a45541953242068b8813"
)

// Install puts the server into the cache folder (MILLRACE_CACHE, by default
// millrace under the user's cache directory) and tells log what it does. It
// returns at once where that was done before. Some seconds, and 30 MB.
func Install(ctx context.Context, log io.Writer) error {
	dir, err := folder()
	if err != nil {
		return err
	}
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return fmt.Errorf("pgserver: there is no PostgreSQL to install for %s/%s, only for linux/amd64", runtime.GOOS, runtime.GOARCH)
	}
	begin := time.Now()
	fmt.Fprintf(log, "PostgreSQL: installing into %s (11 MB to fetch, some seconds)\n", dir)
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("pgserver: %w", err)
	}
	made, err := os.MkdirTemp(filepath.Dir(dir), "postgresql-")
	if err != nil {
		return fmt.Errorf("pgserver: %w", err)
	}
	defer func() { _ = os.RemoveAll(made) }()
	wheel, err := download(ctx, made)
	if err != nil {
		return err
	}
	tree := filepath.Join(made, "tree")
	if err := unpack(wheel, tree); err != nil {
		return fmt.Errorf("pgserver: unpacking %s: %w", filepath.Base(wheel), err)
	}
	// Of two that install it at once, one is first.
	if err := os.Rename(tree, dir); err != nil {
		if _, there := os.Stat(dir); there != nil {
			return fmt.Errorf("pgserver: %w", err)
		}
	}
	fmt.Fprintf(log, "PostgreSQL: installed in %.0f s\n", time.Since(begin).Seconds())
	return nil
}

func folder() (string, error) {
	cache, err := cachedir.Dir()
	if err != nil {
		return "", fmt.Errorf("pgserver: %w", err)
	}
	return filepath.Join(cache, "postgresql-pgserver-"+version), nil
}

// download fetches the wheel by pip, which checks it. The wheel is one for
// Python 3.11, whichever is here: nothing of it is run by Python.
func download(ctx context.Context, dir string) (string, error) {
	list := filepath.Join(dir, "requirements.txt")
	if err := os.WriteFile(list, []byte("pgserver=="+version+" --hash=sha256:"+sum+"\n"), 0o644); err != nil {
		return "", fmt.Errorf("pgserver: %w", err)
	}
	cmd := exec.CommandContext(ctx, "python3", "-m", "pip", "download", "--disable-pip-version-check", "--progress-bar", "off",
		"--no-deps", "--only-binary", ":all:", "--platform", "manylinux2014_x86_64", "--python-version", "3.11", "--implementation", "cp", "--abi", "cp311",
		"--require-hashes", "-r", list, "-d", dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("pgserver: fetching it by python3 and pip (on Debian: apt install python3-pip): %w\n%s", err, out[max(0, len(out)-2000):])
	}
	found, err := filepath.Glob(filepath.Join(dir, "*.whl"))
	if err != nil || len(found) != 1 {
		return "", errors.Join(fmt.Errorf("pgserver: pip left %d wheels in %s", len(found), dir), err)
	}
	return found[0], nil
}

// unpack takes the server out of the wheel, without what is for compilers.
func unpack(wheel, dir string) error {
	z, err := zip.OpenReader(wheel)
	if err != nil {
		return err
	}
	defer z.Close()
	for _, f := range z.File {
		needed := strings.HasPrefix(f.Name, "pgserver/pginstall/") || strings.HasPrefix(f.Name, "pgserver.libs/")
		if !needed || f.FileInfo().IsDir() || strings.Contains(f.Name, "/include/") || strings.HasSuffix(f.Name, ".a") {
			continue
		}
		if err := extract(f, dir); err != nil {
			return err
		}
	}
	return nil
}

func extract(f *zip.File, dir string) error {
	if !filepath.IsLocal(f.Name) {
		return fmt.Errorf("the name %q leads out of the folder", f.Name)
	}
	path := filepath.Join(dir, f.Name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_EXCL, f.Mode().Perm()|0o444)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	return errors.Join(err, w.Close())
}
