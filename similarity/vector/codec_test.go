package vector_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/millrace-go/millrace/similarity/vector"
)

// golden is what version 1 must read and write for ever: topics keep it.
const golden = "01" + "02" + "6d31" + "03000000" + "0000803f" + "000020c0" + "00000000" + "844ef6b2"

var goldenVector = vector.Vector{Space: "m1", Values: []float32{1, -2.5, 0}}

func TestGoldenBytes(t *testing.T) {
	want, err := hex.DecodeString(golden)
	if err != nil {
		t.Fatal(err)
	}
	got, err := vector.Codec{}.Encode(goldenVector)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("Encode gave %x, want %x", got, want)
	}
	back, err := vector.Codec{}.Decode(want)
	if err != nil {
		t.Fatal(err)
	}
	if back.Space != goldenVector.Space || !slices.Equal(back.Values, goldenVector.Values) {
		t.Fatalf("Decode gave %+v, want %+v", back, goldenVector)
	}
}

func TestAppendBinaryKeepsWhatIsThere(t *testing.T) {
	prefix := []byte("key:")
	got, err := goldenVector.AppendBinary(prefix)
	if err != nil {
		t.Fatal(err)
	}
	alone, _ := vector.Codec{}.Encode(goldenVector)
	if want := append([]byte("key:"), alone...); !bytes.Equal(got, want) {
		t.Fatalf("AppendBinary gave %x, want %x", got, want)
	}
	got, err = vector.Vector{}.AppendBinary(prefix)
	if err == nil || !bytes.Equal(got, prefix) {
		t.Fatalf("AppendBinary of the zero Vector gave %q, %v; want %q and an error", got, err, prefix)
	}
}

func TestEveryDamagedByteIsFound(t *testing.T) {
	good, err := vector.Codec{}.Encode(goldenVector)
	if err != nil {
		t.Fatal(err)
	}
	for i := range good {
		for bit := range 8 {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << bit
			if v, err := (vector.Codec{}).Decode(bad); err == nil {
				t.Errorf("bit %d of byte %d flipped, and Decode gave %+v", bit, i, v)
			}
		}
		if v, err := (vector.Codec{}).Decode(good[:i]); err == nil {
			t.Errorf("cut to %d of %d bytes, and Decode gave %+v", i, len(good), v)
		}
	}
	if v, err := (vector.Codec{}).Decode(append(good, 0)); err == nil {
		t.Errorf("a byte too many, and Decode gave %+v", v)
	}
}

func TestDecodeErrorsSayWhatIsWrong(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"empty", "", "empty"},
		{"json", `{"space":"m","values":[1]}`, "not a vector"},
		{"newer version", "\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", "newer version"},
		{"short", "\x01\x02m1", "cut short"},
		{"cut in the space", "\x01\xffm1\x03\x00\x00\x00\x00\x00\x80\x3f", "space's name"},
		{"giant dimension", "\x01\x01m\xff\xff\xff\xff\x00\x00\x80\x3f\x00\x00\x00\x00", "dimension 4294967295"},
		{"checksum", "\x01\x01m\x01\x00\x00\x00\x00\x00\x80\x3f\x00\x00\x00\x00", "checksum"},
	} {
		_, err := vector.Codec{}.Decode([]byte(c.in))
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "vector: ") {
			t.Errorf("%s: got error %v, want one with %q", c.name, err, c.want)
		}
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name string
		v    vector.Vector
		want string // "" for no error
	}{
		{"good", goldenVector, ""},
		{"largest value", vector.Vector{Space: "m", Values: []float32{math.MaxFloat32}}, ""},
		{"no space", vector.Vector{Values: []float32{1}}, "no space"},
		{"no values", vector.Vector{Space: "m"}, "no values"},
		{"NaN", vector.Vector{Space: "m", Values: []float32{1, float32(math.NaN())}}, "value 1 is NaN"},
		{"infinite", vector.Vector{Space: "m", Values: []float32{float32(math.Inf(-1))}}, "value 0 is -Inf"},
		{"long space", vector.Vector{Space: strings.Repeat("x", 256), Values: []float32{1}}, "256 bytes"},
		{"space not UTF-8", vector.Vector{Space: "\xff", Values: []float32{1}}, "not UTF-8"},
	} {
		err := c.v.Check()
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
		}
		if _, encErr := (vector.Codec{}).Encode(c.v); encErr == nil {
			t.Errorf("%s: Encode took it", c.name)
		}
	}
}

func TestCheckInNamesBothSides(t *testing.T) {
	if err := goldenVector.CheckIn("m1", 3); err != nil {
		t.Fatal(err)
	}
	err := goldenVector.CheckIn("m2", 3)
	if e, ok := errors.AsType[*vector.SpaceError](err); !ok || e.Got != "m1" || e.Want != "m2" {
		t.Errorf("wrong space gave %v", err)
	}
	err = goldenVector.CheckIn("m1", 4)
	if e, ok := errors.AsType[*vector.DimensionError](err); !ok || e.Got != 3 || e.Want != 4 {
		t.Errorf("wrong dimension gave %v", err)
	}
}

func TestJSON(t *testing.T) {
	b, err := json.Marshal(goldenVector)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"space":"m1","values":[1,-2.5,0]}`; string(b) != want {
		t.Fatalf("got %s, want %s", b, want)
	}
}

func FuzzDecode(f *testing.F) {
	good, _ := vector.Codec{}.Encode(goldenVector)
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add([]byte(`{"space":"m","values":[1]}`))
	f.Add([]byte("\x01\x01m\xff\xff\xff\xff\x00\x00\x80\x3f\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := vector.Codec{}.Decode(b)
		if err != nil {
			return
		}
		again, err := vector.Codec{}.Encode(v)
		if err != nil {
			t.Fatalf("decoded %+v, which Encode refuses: %v", v, err)
		}
		if !bytes.Equal(again, b) {
			t.Fatalf("%x decodes to %+v, which encodes to %x", b, v, again)
		}
	})
}

// FuzzRoundTrip starts from values, since a random change of bytes hardly ever
// gets past the checksum.
func FuzzRoundTrip(f *testing.F) {
	f.Add("m1", float32(1), float32(-2.5), uint8(3))
	f.Add("", float32(math.Inf(1)), float32(0), uint8(0))
	f.Fuzz(func(t *testing.T, space string, a, b float32, n uint8) {
		v := vector.Vector{Space: space, Values: make([]float32, n)}
		for i := range v.Values {
			v.Values[i] = a + float32(i)*b
		}
		enc, err := vector.Codec{}.Encode(v)
		if (err == nil) != (v.Check() == nil) {
			t.Fatalf("Encode: %v, Check: %v", err, v.Check())
		}
		if err != nil {
			return
		}
		back, err := vector.Codec{}.Decode(enc)
		if err != nil || back.Space != v.Space || !slices.Equal(back.Values, v.Values) {
			t.Fatalf("%+v came back as %+v, %v", v, back, err)
		}
	})
}

func BenchmarkCodec(b *testing.B) {
	v := vector.Vector{Space: "m1", Values: make([]float32, 384)}
	var buf []byte
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			buf, _ = v.AppendBinary(buf[:0])
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := (vector.Codec{}).Decode(buf); err != nil {
				b.Fatal(err)
			}
		}
	})
}
