package embed

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace-go/millrace/embed/internal/onnx"
)

// The binding does not say which API it was made for; its C header does.
func TestBindingAPIIsTheBindings(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Path}} {{.Version}}\n{{.Dir}}", "github.com/yalue/onnxruntime_go").Output()
	if err != nil {
		t.Fatal(err)
	}
	name, dir, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if name != binding {
		t.Errorf("the binding is %s, the constant says %s", name, binding)
	}
	header, err := os.ReadFile(filepath.Join(dir, "onnxruntime_c_api.h"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`#define ORT_API_VERSION (\d+)`).FindSubmatch(header)
	if m == nil || string(m[1]) != strconv.Itoa(bindingAPI) {
		t.Errorf("the binding's header says %q, the constant %d", m, bindingAPI)
	}
}

func TestCheckVersion(t *testing.T) {
	for version, good := range map[string]bool{
		"1.29.0": true, "1.29.3-dev": true, "1.30.1": true,
		"1.28.1": false, "1.9.0": false, "2.0.0": false, "": false, "x": false,
	} {
		if err := checkVersion(version); (err == nil) != good {
			t.Errorf("%q: %v", version, err)
		}
	}
}

// buildLibrary makes a shared library of a line of C.
func buildLibrary(t *testing.T, code string) string {
	t.Helper()
	dir := t.TempDir()
	src, lib := filepath.Join(dir, "lib.c"), filepath.Join(dir, "lib.so")
	if err := os.WriteFile(src, []byte(code), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cc", "-shared", "-fPIC", "-o", lib, src).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return lib
}

// ONNX Runtime is loaded once in a process, so each wrong library needs one.
func TestWrongLibrary(t *testing.T) {
	const env = "EMBED_TEST_OPEN"
	if dir := os.Getenv(env); dir != "" {
		_, err := Open(dir)
		fmt.Println("error:", err)
		return
	}
	old := buildLibrary(t, `
		static const char *version(void) { return "1.20.1"; }
		static struct { void *api; const char *(*version)(void); } base = {0, version};
		void *OrtGetApiBase(void) { return &base; }`)
	another := buildLibrary(t, "int something_else;")
	text := filepath.Join(t.TempDir(), "lib.so")
	if err := os.WriteFile(text, []byte("not a library"), 0o644); err != nil {
		t.Fatal(err)
	}
	cases := []struct{ name, library, want string }{
		{"old", old, "lib.so is ONNX Runtime 1.20.1, but the binding github.com/yalue/onnxruntime_go v1.35.0 needs 1.29 or a newer 1.x"},
		{"another", another, "it has no OrtGetApiBase, so it is not ONNX Runtime"},
		{"text", text, "cannot load ONNX Runtime from " + text},
		{"none", "nowhere/libonnxruntime.so", "there is no ONNX Runtime library nowhere/libonnxruntime.so"},
	}
	dir := writeTiny(t, tinyGraph(onnx.Int64, inputIDs), tinyFiles())
	for _, c := range cases {
		cmd := exec.Command(os.Args[0], "-test.run=^TestWrongLibrary$")
		cmd.Env = append(os.Environ(), env+"="+dir, libraryEnv+"="+c.library)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", c.name, err, out)
		}
		if !strings.Contains(string(out), "error: embed: ") || !strings.Contains(string(out), c.want) {
			t.Errorf("%s: %s\nwant %s", c.name, out, c.want)
		}
	}
}
