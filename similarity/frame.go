package similarity

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"unsafe"

	"github.com/millrace-go/millrace/internal/simd"
	"github.com/millrace-go/millrace/similarity/vector"
)

// A [File] is a head and frames, each a change. All begin at multiples of 64
// bytes, which what lies between is filled up to; numbers are little-endian.
//
//	head    "MILLRVEC", version uint32 (1), metric uint32, CRC-32C of these, zeros
//	frame   kind uint32, number of ids uint32, dimension uint32, bytes of the space's name uint32,
//	        bytes of the whole frame uint64, CRC-32C of what comes after byte 32, CRC-32C of these
//	        28 bytes, zeros to 64 bytes; the space's name; each id's length (uint32) and text; from the
//	        next multiple of 64 bytes on, the values
//
// The values of a kindPanels frame are as they are scanned, in blocks (see
// simd.Block) of which the last is filled up with zeros, those of a kindRows
// frame one row after the other; a kindDelete frame has none.
const (
	align      = 64
	fileMagic  = "MILLRVEC"
	kindRows   = 1
	kindPanels = 2
	kindDelete = 3
)

// frame is what a frame says. Its values may be the file's own bytes.
type frame struct {
	kind   uint32
	dim    int
	space  string
	ids    []string
	values []float32
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

func padded(n int) int { return (n + align - 1) / align * align }

// fileHead is the file's first bytes.
func fileHead(metric Metric) []byte {
	b := append(make([]byte, 0, align), fileMagic...)
	b = binary.LittleEndian.AppendUint32(b, 1)
	b = binary.LittleEndian.AppendUint32(b, uint32(metric))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli()))
	return b[:align]
}

// checkFileHead tells what is wrong with a file's first bytes.
func checkFileHead(b []byte, metric Metric) error {
	switch {
	case len(b) < align || string(b[:8]) != fileMagic:
		return fmt.Errorf("not a file of vectors: it starts with %q, and such a file with %q", b[:min(len(b), 8)], fileMagic)
	case binary.LittleEndian.Uint32(b[8:]) != 1:
		return fmt.Errorf("version %d of the format, and this program reads version 1", binary.LittleEndian.Uint32(b[8:]))
	case binary.LittleEndian.Uint32(b[16:]) != crc32.Checksum(b[:16], castagnoli()) || !allZero(b[20:align]):
		return errors.New("the head's checksum is wrong: the file is damaged")
	case Metric(binary.LittleEndian.Uint32(b[12:])) != metric:
		return fmt.Errorf("the file's metric is %v, and %v is wanted", Metric(binary.LittleEndian.Uint32(b[12:])), metric)
	}
	return nil
}

func allZero(b []byte) bool {
	for _, v := range b {
		if v != 0 {
			return false
		}
	}
	return true
}

// rowsFrame is the frame that adds items, which are of one space, not none,
// and checked.
func rowsFrame(items []Item) []byte {
	n, first := len(items), items[0].Vector
	f := frame{kind: kindRows, dim: len(first.Values), space: first.Space}
	room := n
	if n >= simd.Block {
		f.kind, room = kindPanels, (n+simd.Block-1)/simd.Block*simd.Block
	}
	for _, it := range items {
		f.ids = append(f.ids, it.ID)
	}
	return f.bytes(4*room*f.dim, func(values []byte) {
		for i, it := range items {
			at, step := 4*i*f.dim, 4
			if f.kind == kindPanels {
				at, step = 4*(i/simd.Panel*simd.Panel*f.dim+i%simd.Panel), 4*simd.Panel
			}
			for d, v := range it.Vector.Values {
				binary.LittleEndian.PutUint32(values[at+d*step:], math.Float32bits(v))
			}
		}
	})
}

// deleteFrame is the frame that deletes ids.
func deleteFrame(ids []string) []byte {
	f := frame{kind: kindDelete, ids: ids}
	return f.bytes(0, func([]byte) {})
}

// bytes is the frame's form, with so many bytes of values, which fill writes
// over zeros.
func (f *frame) bytes(size int, fill func(values []byte)) []byte {
	text := len(f.space)
	for _, id := range f.ids {
		text += 4 + len(id)
	}
	b := make([]byte, align, align+padded(text)+padded(size))
	b = append(b, f.space...)
	for _, id := range f.ids {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(id)))
		b = append(b, id...)
	}
	b = b[:cap(b)]
	fill(b[align+padded(text):][:size])
	le := binary.LittleEndian
	le.PutUint32(b[0:], f.kind)
	le.PutUint32(b[4:], uint32(len(f.ids)))
	le.PutUint32(b[8:], uint32(f.dim))
	le.PutUint32(b[12:], uint32(len(f.space)))
	le.PutUint64(b[16:], uint64(len(b)))
	le.PutUint32(b[24:], crc32.Checksum(b[32:], castagnoli()))
	le.PutUint32(b[28:], crc32.Checksum(b[:28], castagnoli()))
	return b
}

// errTorn is a frame that ends before its end: the writer died.
var errTorn = errors.New("cut short")

// readFrame reads the frame that b, the rest of a file, begins with, and tells
// its length.
func readFrame(b []byte) (f frame, size int, err error) {
	if len(b) < align {
		return f, 0, errTorn
	}
	le := binary.LittleEndian
	if le.Uint32(b[28:]) != crc32.Checksum(b[:28], castagnoli()) {
		return f, 0, errors.New("a frame's head has the wrong checksum")
	}
	whole := le.Uint64(b[16:])
	if whole > uint64(len(b)) {
		return f, 0, errTorn
	}
	if whole < align || whole%align != 0 {
		return f, 0, fmt.Errorf("a frame of %d bytes", whole)
	}
	size = int(whole)
	f.kind, f.dim = le.Uint32(b), int(le.Uint32(b[8:]))
	n, space := int(le.Uint32(b[4:])), int(le.Uint32(b[12:]))
	body := b[align:size]
	if le.Uint32(b[24:]) != crc32.Checksum(b[32:size], castagnoli()) {
		return f, 0, errors.New("a frame has the wrong checksum")
	}
	// A right checksum does not make it a frame of ours.
	bad := errors.New("a frame says more than it holds")
	if space < 0 || space > len(body) || n < 0 || n > len(body)/4 || f.dim < 0 {
		return f, 0, bad
	}
	f.space = string(body[:space])
	text := space
	for range n {
		if text+4 > len(body) {
			return f, 0, bad
		}
		length := int(le.Uint32(body[text:]))
		if text += 4; length < 0 || length > len(body)-text {
			return f, 0, bad
		}
		f.ids = append(f.ids, string(body[text:text+length]))
		text += length
	}
	rows := n
	switch f.kind {
	case kindPanels:
		rows = (n + simd.Block - 1) / simd.Block * simd.Block
	case kindDelete:
		rows = 0
	case kindRows:
	default:
		return f, 0, fmt.Errorf("a frame of kind %d, which a newer version may know", f.kind)
	}
	if padded(text) > len(body) || uint64(rows)*uint64(f.dim) > uint64(len(body))/4 || padded(4*rows*f.dim) != len(body)-padded(text) {
		return f, 0, bad
	}
	if rows*f.dim > 0 {
		f.values = floats(body[padded(text):][:4*rows*f.dim])
	}
	return f, size, nil
}

// floats are the numbers in b, without a copy where that is possible.
func floats(b []byte) []float32 {
	one := uint16(1)
	if *(*byte)(unsafe.Pointer(&one)) == 1 && uintptr(unsafe.Pointer(unsafe.SliceData(b)))%4 == 0 {
		return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/4)
	}
	v := make([]float32, len(b)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return v
}

// items are those of a frame with few rows.
func (f *frame) items() []Item {
	items := make([]Item, len(f.ids))
	for i, id := range f.ids {
		items[i] = Item{id, vector.Vector{Space: f.space, Values: f.values[i*f.dim : (i+1)*f.dim]}}
	}
	return items
}
