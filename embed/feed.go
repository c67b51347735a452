package embed

import (
	"runtime"

	ort "github.com/yalue/onnxruntime_go"
)

// feed makes one input of the model.
type feed interface {
	tensor(ids [][]uint32, width int, pins *runtime.Pinner) (ort.Value, error)
}

// feedOf is a feed of whole numbers, in a buffer that it keeps.
type feedOf[T int32 | int64] struct {
	name string
	pad  T    // where there is no token
	left bool // padding stands before the text
	at   T    // the position of a text's first token
	data []T
}

func newFeed[T int32 | int64](name string, t *transformer) *feedOf[T] {
	f := &feedOf[T]{name: name, left: t.padLeft, at: T(t.firstPlace)}
	switch {
	case name == inputIDs:
		f.pad = T(t.padID)
	case name == inputPositions && t.firstPlace > 0:
		f.pad = T(t.firstPlace - 1) // the padding's own place
	}
	return f
}

func (f *feedOf[T]) tensor(ids [][]uint32, width int, pins *runtime.Pinner) (ort.Value, error) {
	f.data = grown(f.data, len(ids)*width)
	for i, tokens := range ids {
		row := f.data[i*width:][:width]
		for j := range row {
			row[j] = f.pad
		}
		if f.left {
			row = row[width-len(tokens):]
		}
		f.fill(row, tokens)
	}
	pins.Pin(&f.data[0])
	return ort.NewTensor(ort.NewShape(int64(len(ids)), int64(width)), f.data)
}

func (f *feedOf[T]) fill(row []T, tokens []uint32) {
	switch f.name {
	case inputIDs:
		for j, id := range tokens {
			row[j] = T(id)
		}
	case inputMask:
		for j := range tokens {
			row[j] = 1
		}
	case inputPositions:
		for j := range tokens {
			row[j] = f.at + T(j)
		}
	}
}
