package sealed_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/millrace-go/millrace/internal/sealed"
)

var kind = sealed.Kind{Name: "example", Magic: [8]byte([]byte("EXAMPLE1")), Version: 3}

type content struct {
	text string
	n    uint64
	f32  []float32
	f64  []float64
}

func write(t *testing.T, c content) []byte {
	t.Helper()
	var b bytes.Buffer
	err := sealed.Write(&b, kind, func(w *sealed.Writer) {
		w.String(c.text)
		w.Uint64(c.n)
		w.Uint32(uint32(len(c.f32)))
		w.Float32s(c.f32)
		w.Uint32(uint32(len(c.f64)))
		w.Float64s(c.f64)
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func read(r io.Reader, k sealed.Kind) (c content, err error) {
	err = sealed.Read(r, k, func(r *sealed.Reader) error {
		c.text = r.String()
		c.n = r.Uint64()
		c.f32 = r.Float32s(uint64(r.Uint32()))
		c.f64 = r.Float64s(uint64(r.Uint32()))
		return r.Err()
	})
	return c, err
}

func equal(a, b content) bool {
	return a.text == b.text && a.n == b.n && slices.Equal(a.f32, b.f32) && slices.Equal(a.f64, b.f64)
}

func TestRoundTripLargerThanAChunk(t *testing.T) {
	c := content{text: strings.Repeat("long ", 50_000), n: 1 << 60, f32: make([]float32, 100_001), f64: make([]float64, 50_001)}
	for i := range c.f32 {
		c.f32[i] = float32(i) / 3
	}
	for i := range c.f64 {
		c.f64[i] = float64(i) / 3
	}
	got, err := read(bytes.NewReader(write(t, c)), kind)
	if err != nil || !equal(got, c) {
		t.Fatalf("came back otherwise, error %v", err)
	}
}

func TestEveryDamageIsFound(t *testing.T) {
	good := write(t, content{text: "hi", n: 7, f32: []float32{1, 2}, f64: []float64{3}})
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x10
		if _, err := read(bytes.NewReader(bad), kind); err == nil {
			t.Errorf("byte %d changed, and no error", i)
		}
		_, err := read(bytes.NewReader(good[:i]), kind)
		if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "cut short") {
			t.Errorf("cut at byte %d: error %v", i, err)
		}
	}
	if _, err := read(bytes.NewReader(append(good, 0)), kind); err == nil || !strings.Contains(err.Error(), "more bytes") {
		t.Errorf("a byte too many: error %v", err)
	}
}

func TestForeignAndNewerFiles(t *testing.T) {
	good := write(t, content{})
	other, newer := kind, kind
	other.Magic[0] = 'X'
	newer.Version = 2
	if _, err := read(bytes.NewReader(good), other); err == nil || !strings.Contains(err.Error(), `starts with "EXAMPLE1"`) {
		t.Errorf("another kind: error %v", err)
	}
	if _, err := read(bytes.NewReader(good), newer); err == nil || !strings.Contains(err.Error(), "version 3") {
		t.Errorf("another version: error %v", err)
	}
}

func TestGiantLengthAllocatesLittle(t *testing.T) {
	var b bytes.Buffer
	if err := sealed.Write(&b, kind, func(w *sealed.Writer) { w.Uint32(1<<32 - 1) }); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := read(&b, kind); err == nil {
		t.Fatal("a text of 4 GB out of nothing")
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 4<<20 {
		t.Fatalf("allocated %d bytes for a damaged length", grown)
	}
}

func TestWriteFileKeepsTheOldOneOnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	put := func(s string, fail error) error {
		return sealed.WriteFile(path, func(w io.Writer) error {
			_, _ = io.WriteString(w, s)
			return fail
		})
	}
	if err := put("old", nil); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	if err := put("new", broken); !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
	b, err := os.ReadFile(path)
	if err != nil || string(b) != "old" {
		t.Fatalf("the file holds %q, %v", b, err)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Fatalf("left behind: %v, %v", left, err)
	}
}
