// Package npy reads and writes numpy's arrays of numbers, and archives of them:
// the formats .npy (https://numpy.org/neps/nep-0001-npy-format.html) and .npz.
//
// It is our own since what there is panics on a damaged header, allocates what
// the header says, and brings a decoder of Python's pickles to whoever imports
// it.
package npy

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

const magic = "\x93NUMPY"

// maxHeader is more than any array of numbers needs.
const maxHeader = 1 << 16

// chunk bounds what is allocated ahead of the bytes that justify it.
const chunk = 1 << 16

// Reader reads one array. Its header is read; [Values] reads the rest.
type Reader struct {
	Shape   []int // at most two; none: a single value
	fortran bool  // column after column
	r       *bufio.Reader
	width   int
	value   func([]byte) float64
}

// NewReader reads the header: an array of at most two dimensions, of booleans,
// integers or floating-point numbers of any width and byte order.
func NewReader(r io.Reader) (*Reader, error) {
	b := bufio.NewReaderSize(r, chunk)
	var start [8]byte
	if _, err := io.ReadFull(b, start[:]); err != nil || string(start[:6]) != magic {
		return nil, errors.New("npy: not an array of numpy's")
	}
	size, err := headerSize(b, start[6])
	if err != nil {
		return nil, err
	}
	text := make([]byte, size)
	if _, err := io.ReadFull(b, text); err != nil {
		return nil, fmt.Errorf("npy: the header is cut short: %w", err)
	}
	h, err := parseHeader(string(text))
	if err != nil {
		return nil, err
	}
	if len(h.shape) > 2 {
		return nil, fmt.Errorf("npy: an array of %d dimensions; at most 2 are supported", len(h.shape))
	}
	elements := 1
	for _, n := range h.shape {
		if n > 0 && elements > math.MaxInt32*64/n {
			return nil, fmt.Errorf("npy: an array of shape %v is too large", h.shape)
		}
		elements *= n
	}
	a := &Reader{Shape: h.shape, fortran: h.fortran, r: b}
	a.width, a.value, err = decoder(h.descr)
	return a, err
}

func headerSize(r io.Reader, version byte) (int, error) {
	var b [4]byte
	switch version {
	case 1:
		_, err := io.ReadFull(r, b[:2])
		if err != nil {
			return 0, fmt.Errorf("npy: the header is cut short: %w", err)
		}
	case 2, 3:
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return 0, fmt.Errorf("npy: the header is cut short: %w", err)
		}
	default:
		return 0, fmt.Errorf("npy: version %d of the format; supported are 1 to 3", version)
	}
	size := binary.LittleEndian.Uint32(b[:])
	if size > maxHeader {
		return 0, fmt.Errorf("npy: a header of %d bytes", size)
	}
	return int(size), nil
}

// decoder reads one number of a type such as "<f4".
func decoder(descr string) (width int, value func([]byte) float64, err error) {
	var order binary.ByteOrder = binary.LittleEndian
	kind := strings.TrimLeft(descr, "<>|=")
	if strings.HasPrefix(descr, ">") {
		order = binary.BigEndian
	}
	switch kind {
	case "f8":
		return 8, func(b []byte) float64 { return math.Float64frombits(order.Uint64(b)) }, nil
	case "f4":
		return 4, func(b []byte) float64 { return float64(math.Float32frombits(order.Uint32(b))) }, nil
	case "i8":
		return 8, func(b []byte) float64 { return float64(int64(order.Uint64(b))) }, nil
	case "i4":
		return 4, func(b []byte) float64 { return float64(int32(order.Uint32(b))) }, nil
	case "b1", "u1":
		return 1, func(b []byte) float64 { return float64(b[0]) }, nil
	}
	return 0, nil, fmt.Errorf("npy: an array of type %q; supported are f4, f8, i4, i8, u1 and b1 (in Python: array.astype(\"f4\"))", descr)
}

// Values reads the array's values, row after row whatever their order in the
// file, and that nothing comes after them.
func Values[T float32 | float64](a *Reader) ([]T, error) {
	n := 1
	for _, d := range a.Shape {
		n *= d
	}
	values := make([]T, 0, min(n, chunk))
	buffer := make([]byte, min(n, chunk/8)*a.width)
	for len(values) < n {
		b := buffer[:min(n-len(values), chunk/8)*a.width]
		if _, err := io.ReadFull(a.r, b); err != nil {
			return nil, fmt.Errorf("npy: cut short after %d of the %d values of an array of shape %v: %w", len(values), n, a.Shape, io.ErrUnexpectedEOF)
		}
		for ; len(b) > 0; b = b[a.width:] {
			values = append(values, T(a.value(b)))
		}
	}
	switch _, err := a.r.ReadByte(); {
	case err == nil:
		return nil, fmt.Errorf("npy: more bytes than the values of an array of shape %v", a.Shape)
	case !errors.Is(err, io.EOF):
		return nil, fmt.Errorf("npy: %w", err)
	}
	if !a.fortran || len(a.Shape) < 2 {
		return values, nil
	}
	rows, columns := a.Shape[0], a.Shape[1]
	turned := make([]T, n)
	for j := range columns {
		for i := range rows {
			turned[i*columns+j] = values[j*rows+i]
		}
	}
	return turned, nil
}

// Number is what arrays are written of.
type Number interface {
	float64 | float32 | int64 | bool
}

// Write writes an array as numpy does, of the type of values, row after row. A shape of nothing is a single value.
func Write[T Number](w io.Writer, values []T, shape ...int) error {
	descr := map[any]string{float64(0): "<f8", float32(0): "<f4", int64(0): "<i8", false: "|b1"}[any(*new(T))]
	dims := make([]string, len(shape))
	for i, n := range shape {
		dims[i] = strconv.Itoa(n)
	}
	tuple := strings.Join(dims, ", ")
	if len(dims) == 1 {
		tuple += "," // Python's way to tell it from a number
	}
	text := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", descr, tuple)
	const before = len(magic) + 4
	text += strings.Repeat(" ", 63-(before+len(text))%64) + "\n" // values begin at a multiple of 64
	var b bytes.Buffer
	b.WriteString(magic + "\x01\x00")
	b.Write(binary.LittleEndian.AppendUint16(nil, uint16(len(text))))
	b.WriteString(text)
	if err := binary.Write(&b, binary.LittleEndian, values); err != nil {
		return fmt.Errorf("npy: %w", err)
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("npy: %w", err)
	}
	return nil
}
