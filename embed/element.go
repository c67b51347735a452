package embed

import (
	"encoding/binary"
	"fmt"
	"math"

	ort "github.com/yalue/onnxruntime_go"

	"github.com/millrace-go/millrace/internal/half"
)

// element is the type of an output's numbers.
type element struct {
	typ   ort.TensorElementDataType
	bytes int                  // of one
	widen func([]byte) float32 // nil: they are float32
}

func elementOf(t ort.TensorElementDataType) (element, error) {
	e := element{typ: t}
	switch t {
	case ort.TensorElementDataTypeFloat:
		e.bytes = 4
	case ort.TensorElementDataTypeFloat16:
		e.bytes, e.widen = 2, func(b []byte) float32 { return half.Float16(binary.NativeEndian.Uint16(b)) }
	case ort.TensorElementDataTypeBFloat16:
		e.bytes, e.widen = 2, func(b []byte) float32 { return half.BFloat16(binary.NativeEndian.Uint16(b)) }
	case ort.TensorElementDataTypeDouble:
		e.bytes, e.widen = 8, func(b []byte) float32 { return float32(math.Float64frombits(binary.NativeEndian.Uint64(b))) }
	case ort.TensorElementDataTypeInt8:
		e.bytes, e.widen = 1, func(b []byte) float32 { return float32(int8(b[0])) }
	case ort.TensorElementDataTypeUint8:
		e.bytes, e.widen = 1, func(b []byte) float32 { return float32(b[0]) }
	default:
		return e, fmt.Errorf("the type %s is not supported", t)
	}
	return e, nil
}
