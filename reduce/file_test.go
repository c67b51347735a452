package reduce_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"path/filepath"
	"slices"
	"testing"

	"github.com/millrace-go/millrace/reduce"
	"github.com/millrace-go/millrace/similarity/vector"
)

func TestSaveAndLoad(t *testing.T) {
	vs := random(13, 100, 8, 1)
	p := fit(t, vs, 3)
	path := filepath.Join(t.TempDir(), "pca")
	if err := p.SaveFile(path); err != nil {
		t.Fatal(err)
	}
	q, err := reduce.LoadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var a, b bytes.Buffer
	if err := errors.Join(p.Save(&a), q.Save(&b)); err != nil || !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Fatalf("saved again, the bytes differ, error %v", err)
	}
	if p.Space() != q.Space() || p.InputSpace() != q.InputSpace() || q.Count() != 100 || q.Dim() != 8 || q.Components() != 3 {
		t.Fatalf("loaded %q %q %d %d %d", q.Space(), q.InputSpace(), q.Count(), q.Dim(), q.Components())
	}
	for i, v := range transform(t, p, vs) {
		if w := transform(t, q, vs[i:i+1])[0]; !slices.Equal(v.Values, w.Values) {
			t.Fatalf("vector %d: %v before, %v after", i, v.Values, w.Values)
		}
	}
	good := a.Bytes()
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x20
		if _, err := reduce.Load(bytes.NewReader(bad)); err == nil {
			t.Errorf("byte %d changed, and no error", i)
		}
		if _, err := reduce.Load(bytes.NewReader(good[:i])); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut at byte %d: error %v", i, err)
		}
	}
}

func FuzzLoad(f *testing.F) {
	var b bytes.Buffer
	_ = fit(f, random(14, 10, 3, 0), 2).Save(&b)
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		// The checksum is put right, so that the fields behind it get their turn.
		if n := len(b); n > 4 {
			b = binary.LittleEndian.AppendUint32(bytes.Clone(b[:n-4]), crc32.Checksum(b[:n-4], crc32.MakeTable(crc32.Castagnoli)))
		}
		p, err := reduce.Load(bytes.NewReader(b))
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := p.Save(&again); err != nil || !bytes.Equal(again.Bytes(), b) {
			t.Fatalf("%q loads, and saves as %q, %v", b, again.Bytes(), err)
		}
		_, _ = p.Transform(t.Context(), []vector.Vector{{Space: p.InputSpace(), Values: make([]float32, p.Dim())}})
	})
}
