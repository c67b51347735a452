package vector

import (
	"errors"
	"fmt"
	"math"
	"unicode/utf8"
)

// Vector is a point in a space. Two vectors may be compared only if their
// spaces are equal: a distance between the outputs of two models is a number
// without meaning.
//
// The zero Vector is empty and of no space; [Vector.Check] refuses it.
type Vector struct {
	// Space identifies how the values were made: the embedding model and the
	// reducers after it, as a hash. It is opaque; compare it, do not parse it.
	// UTF-8, at most [MaxSpace] bytes.
	Space string `json:"space"`
	// Values are the coordinates.
	Values []float32 `json:"values"`
}

// MaxSpace is the most bytes a space's name may have.
const MaxSpace = 255

// Check tells what makes v unfit to be stored, sent or compared: no space, no
// values, or a value that is NaN or infinite. It returns nil if nothing does.
func (v Vector) Check() error {
	switch {
	case v.Space == "":
		return errors.New("vector: no space; name the model that made the values, or vectors of different models get compared")
	case len(v.Space) > MaxSpace:
		return fmt.Errorf("vector: the space's name has %d bytes, at most %d are allowed", len(v.Space), MaxSpace)
	case !utf8.ValidString(v.Space):
		return fmt.Errorf("vector: the space's name %q is not UTF-8", v.Space)
	case len(v.Values) == 0:
		return errors.New("vector: no values")
	}
	if i := notFinite(v.Values); i >= 0 {
		return fmt.Errorf("vector: value %d is %v", i, v.Values[i])
	}
	return nil
}

// notFinite is the place of the first value that is no finite number, or -1. The
// exponent's bits are all ones in NaN and the infinities, and only there: one more
// carries into the sign.
func notFinite(values []float32) int {
	const size, one = 1<<31 - 1, 1 << 23
	carry := func(x float32) uint32 { return math.Float32bits(x)&size + one }
	at := 0
	for ; len(values)-at >= 8; at += 8 {
		x := (*[8]float32)(values[at:])
		if (carry(x[0])|carry(x[1])|carry(x[2])|carry(x[3])|carry(x[4])|carry(x[5])|carry(x[6])|carry(x[7]))>>31 != 0 {
			break
		}
	}
	for ; at < len(values); at++ {
		if carry(values[at])>>31 != 0 {
			return at
		}
	}
	return -1
}

// CheckIn is [Vector.Check], and also that v is of the given space (else a
// [*SpaceError]) and has dim values (else a [*DimensionError]).
func (v Vector) CheckIn(space string, dim int) error {
	if err := v.Check(); err != nil {
		return err
	}
	if v.Space != space {
		return &SpaceError{Got: v.Space, Want: space}
	}
	if len(v.Values) != dim {
		return &DimensionError{Got: len(v.Values), Want: dim}
	}
	return nil
}

// SpaceError is a vector of one space where another is wanted.
type SpaceError struct{ Got, Want string }

// Error names both spaces.
func (e *SpaceError) Error() string {
	return fmt.Sprintf("vector: of space %q where space %q is wanted: made by another model or reducer, so a distance would mean nothing", e.Got, e.Want)
}

// DimensionError is a vector with too few or too many values.
type DimensionError struct{ Got, Want int }

// Error gives both numbers.
func (e *DimensionError) Error() string {
	return fmt.Sprintf("vector: of %d values where %d are wanted", e.Got, e.Want)
}
