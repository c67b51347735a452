package npy_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/millrace-go/millrace/internal/emulator"
	"github.com/millrace-go/millrace/internal/npy"
)

// file is an array with a header of one's own, version 1.
func file(header string, values string) []byte {
	b := []byte("\x93NUMPY\x01\x00")
	b = binary.LittleEndian.AppendUint16(b, uint16(len(header)))
	return append(append(b, header...), values...)
}

func read(b []byte) ([]float64, []int, error) {
	r, err := npy.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, nil, err
	}
	values, err := npy.Values[float64](r)
	return values, r.Shape, err
}

func TestHeaders(t *testing.T) {
	two := "\x00\x00\x80\x3f\x00\x00\x00\x40" // 1, 2 as float32
	for _, header := range []string{
		"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }            \n",
		`{"shape":(2,),"descr":"<f4","fortran_order":True}`,
		"{ 'fortran_order' : False , 'shape' : ( 2 , ) , 'descr' : '=f4' , }",
	} {
		values, shape, err := read(file(header, two))
		if err != nil || !slices.Equal(values, []float64{1, 2}) || !slices.Equal(shape, []int{2}) {
			t.Errorf("%s: %v of shape %v, %v", header, values, shape, err)
		}
	}
	for header, want := range map[string]string{
		"":   "no dictionary",
		"{":  "string is missing",
		"{}": "must say descr",
		"{'descr': '<f4', 'fortran_order': False}":                                   "must say descr",
		"{'descr': '<f4', 'descr': '<f4', 'shape': (2,)}":                            "has no value, or two",
		"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'x': 1}":            `"x" is not known`,
		"{'descr': '<f4', 'fortran_order': Maybe, 'shape': (2,)}":                    "neither True nor False",
		"{'descr': '<f4', 'fortran_order': False, 'shape': 2}":                       "no tuple",
		"{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}":                   "shape (-2,) is none",
		"{'descr': '<f4', 'fortran_order': False, 'shape': (1,2,1)}":                 "3 dimensions",
		"{'descr': '<f4', 'fortran_order': False, 'shape': (2000000000,2000000000)}": "too large",
		"{'descr': '|O', 'fortran_order': False, 'shape': (2,)}":                     `type "|O"; supported`,
		"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}":           "an array of records",
		"{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}":                    "cut short after 0 of the 3",
		"{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}":                    "more bytes",
	} {
		if _, _, err := read(file(header, two)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", header, err, want)
		}
	}
	for want, b := range map[string][]byte{
		"not an array":         []byte("PK"),
		"version 9":            []byte("\x93NUMPY\x09\x00\x10\x00"),
		"the header is cut":    []byte("\x93NUMPY\x01\x00\x10\x00{"),
		"header of 4294967295": []byte("\x93NUMPY\x02\x00\xff\xff\xff\xff"),
	} {
		if _, _, err := read(b); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", b, err, want)
		}
	}
}

func TestGiantShapeAllocatesLittle(t *testing.T) {
	b := file("{'descr': '<f8', 'fortran_order': False, 'shape': (100000,100000)}", "12345678")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, _, err := read(b); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 4<<20 {
		t.Fatalf("allocated %d bytes for 8", grown)
	}
}

// numpy writes what is read here, in all types and orders, and reads what is
// written here.
func TestNumpy(t *testing.T) {
	python, err := emulator.Python()
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	const script = `
import sys, json, numpy as np
out = {}
for dtype in ["<f4", "<f8", ">f4", ">f8", "<i4", ">i8", "u1", "?"]:
    for shape in [(), (3,), (0, 4), (1, 5), (4, 1), (300, 7), (30, 3000)]:
        for order in "CF":
            x = (np.arange(np.prod(shape, dtype=int)).reshape(shape) % 97).astype(dtype)
            name = f"{len(out)}.npy"
            np.save(sys.argv[1] + "/" + name, np.asarray(x, order=order))
            out[name] = [list(x.shape), dtype]
for dtype in "f8", "f4", "i8", "?":
    for shape in "", "3", "2x3":
        x = np.load(f"{sys.argv[1]}/own-{dtype.replace('?', 'b1')}-{shape}.npy")
        want = np.array([1, 0, 1, 1, 0, 1][:max(1, int(np.prod([int(n) for n in shape.split("x") if n])))], dtype=dtype)
        assert x.dtype == dtype and "x".join(map(str, x.shape)) == shape and (x.ravel() == want).all(), (dtype, shape, x)
json.dump(out, sys.stdout)
`
	for shape, dims := range map[string][]int{"": {}, "3": {3}, "2x3": {2, 3}} {
		n := 1
		for _, d := range dims {
			n *= d
		}
		for dtype, write := range map[string]func(io.Writer) error{
			"f8": func(w io.Writer) error { return npy.Write(w, []float64{1, 0, 1, 1, 0, 1}[:n], dims...) },
			"f4": func(w io.Writer) error { return npy.Write(w, []float32{1, 0, 1, 1, 0, 1}[:n], dims...) },
			"i8": func(w io.Writer) error { return npy.Write(w, []int64{1, 0, 1, 1, 0, 1}[:n], dims...) },
			"b1": func(w io.Writer) error {
				return npy.Write(w, []bool{true, false, true, true, false, true}[:n], dims...)
			},
		} {
			var b bytes.Buffer
			if err := errors.Join(write(&b), os.WriteFile(fmt.Sprintf("%s/own-%s-%s.npy", dir, dtype, shape), b.Bytes(), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
	}
	cmd := exec.CommandContext(t.Context(), python, "-c", script, dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var files map[string][2]json.RawMessage
	if err := json.Unmarshal(out, &files); err != nil || len(files) != 8*7*2 {
		t.Fatal(len(files), err)
	}
	for name, about := range files {
		b, err := os.ReadFile(dir + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		values, shape, err := read(b)
		if got, _ := json.Marshal(append([]int{}, shape...)); err != nil || string(got) != strings.ReplaceAll(string(about[0]), " ", "") {
			t.Errorf("%s: shape %s, want %s, %v", about[1], got, about[0], err)
		}
		for i, x := range values {
			want := float64(i % 97)
			if string(about[1]) == `"?"` {
				want = min(want, 1)
			}
			if x != want {
				t.Fatalf("%s of shape %v: value %d is %v, want %v", about[1], shape, i, x, want)
			}
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(file("{'descr': '<f8', 'fortran_order': True, 'shape': (2, 1), }\n", "1234567812345678"))
	f.Add(file("{'descr': '|b1', 'fortran_order': False, 'shape': (), }\n", "\x01"))
	f.Add(file("{'descr': '>f4', 'fortran_order': False, 'shape': (1, 0)}", ""))
	f.Fuzz(func(t *testing.T, b []byte) {
		values, shape, err := read(b)
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := npy.Write(&again, values, shape...); err != nil {
			t.Fatal(err)
		}
		got, gotShape, err := read(again.Bytes())
		same := func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }
		if err != nil || !slices.EqualFunc(got, values, same) || !slices.Equal(gotShape, shape) {
			t.Fatalf("written and read again: %v of %v, was %v of %v, %v", got, gotShape, values, shape, err)
		}
	})
}
