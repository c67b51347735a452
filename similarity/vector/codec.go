package vector

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

// Codec is the wire form of a Vector, for a Kafka topic's value: 4 bytes a
// coordinate and 10 more, where JSON takes about 11 a coordinate. The zero
// Codec is ready, and safe for concurrent use. All numbers are little-endian:
//
//	version     1 byte, 1
//	space       1 byte length, then that many bytes of UTF-8
//	dimension   uint32
//	values      dimension x IEEE 754 binary32
//	checksum    uint32, CRC-32C of all bytes before it
//
// The form is canonical: one vector has one encoding (that of the bits, so -0
// and 0 differ).
type Codec struct{}

const (
	wireVersion  = 1
	wireOverhead = 1 + 1 + 4 + 4 // all but the space's bytes and the values
)

// castagnoli is the polynomial that processors have an instruction for.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// Encode returns v's wire form, or what [Vector.Check] has against it.
func (Codec) Encode(v Vector) ([]byte, error) {
	return v.AppendBinary(make([]byte, 0, wireOverhead+len(v.Space)+4*len(v.Values)))
}

// Decode reads the wire form. The vector shares no memory with b. Bytes that
// are cut short, changed, followed by others, or no vector at all are an
// error, and so is a vector that [Vector.Check] refuses.
func (Codec) Decode(b []byte) (Vector, error) {
	if len(b) == 0 {
		return Vector{}, errors.New("vector: nothing to decode: the value is empty")
	}
	if b[0] != wireVersion {
		return Vector{}, fmt.Errorf("vector: starts with byte %#02x, and version %d of the wire form with %#02x: not a vector, or written by a newer version", b[0], wireVersion, wireVersion)
	}
	if len(b) < wireOverhead {
		return Vector{}, fmt.Errorf("vector: cut short: %d bytes, and the shortest vector has more than %d", len(b), wireOverhead)
	}
	nspace := int(b[1])
	if len(b) < wireOverhead+nspace {
		return Vector{}, fmt.Errorf("vector: cut short: %d bytes, in the middle of the space's name", len(b))
	}
	space := b[2 : 2+nspace]
	rest := b[2+nspace:]
	// Compared with the bytes that are there before anything is allocated: a
	// damaged dimension must not ask for gigabytes.
	dim := binary.LittleEndian.Uint32(rest)
	values := rest[4 : len(rest)-4]
	if uint64(len(values)) != 4*uint64(dim) {
		return Vector{}, fmt.Errorf("vector: %d bytes of values for dimension %d: cut short, damaged, or followed by something else", len(values), dim)
	}
	sum := binary.LittleEndian.Uint32(b[len(b)-4:])
	if got := crc32.Checksum(b[:len(b)-4], castagnoli()); got != sum {
		return Vector{}, fmt.Errorf("vector: checksum %08x where the bytes give %08x: damaged", sum, got)
	}
	v := Vector{Space: string(space), Values: make([]float32, dim)}
	for i := range v.Values {
		v.Values[i] = math.Float32frombits(binary.LittleEndian.Uint32(values[4*i:]))
	}
	if err := v.Check(); err != nil {
		return Vector{}, err
	}
	return v, nil
}

// AppendBinary appends v's wire form (see [Codec]) to dst and returns the
// longer slice, or dst as it was and what [Vector.Check] has against v.
func (v Vector) AppendBinary(dst []byte) ([]byte, error) {
	if err := v.Check(); err != nil {
		return dst, err
	}
	if uint64(len(v.Values)) > math.MaxUint32 {
		return dst, fmt.Errorf("vector: %d values do not fit the wire form", len(v.Values))
	}
	start := len(dst)
	dst = append(dst, wireVersion, byte(len(v.Space)))
	dst = append(dst, v.Space...)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(v.Values)))
	for _, x := range v.Values {
		dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(x))
	}
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli())), nil
}
