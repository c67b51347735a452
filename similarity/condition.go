package similarity

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"time"
	"unicode/utf8"
)

// Condition leaves out items by a column of the table they are in, before the
// search, for Finders that ask a database: the k nearest of those that are
// left. Conditions that go together must all hold. A NULL in the column
// meets none.
//
// The value always travels as a parameter. The column's name is letters,
// underscores and, but for the first, digits.
type Condition struct {
	Column string
	Is     Comparison
	// Value is a string, bool, int, int64, float64 or time.Time; for In and
	// NotIn a slice of strings, int64s or float64s.
	Value any
}

// Comparison says how a column is compared with a value. The zero value is
// Equal.
type Comparison uint8

// The comparisons.
const (
	Equal    Comparison = iota // =
	NotEqual                   // <>
	Below                      // <
	AtMost                     // <=
	Above                      // >
	AtLeast                    // >=
	In                         // is one of the values
	NotIn                      // is none of the values
)

// String is the operator in SQL.
func (c Comparison) String() string {
	if ops := [...]string{"=", "<>", "<", "<=", ">", ">=", "IN", "NOT IN"}; int(c) < len(ops) {
		return ops[c]
	}
	return fmt.Sprintf("Comparison(%d)", uint8(c))
}

// columnName is what databases have in common, but for the length that they
// allow.
var columnName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,299}$`)

// Check tells what is wrong with the condition: its column's name, its
// comparison, or its value. It returns nil if nothing is.
func (c Condition) Check() error {
	err := c.checkValue()
	switch {
	case !columnName.MatchString(c.Column):
		err = fmt.Errorf("the column's name does not match %v", columnName)
	case c.Is > NotIn:
		err = fmt.Errorf("%v is not a comparison: use Equal to NotIn", c.Is)
	}
	if err != nil {
		return fmt.Errorf("similarity: condition on column %q: %w", c.Column, err)
	}
	return nil
}

func (c Condition) checkValue() error {
	list := false
	texts, numbers := []string(nil), []float64(nil)
	switch v := c.Value.(type) {
	case string:
		texts = []string{v}
	case float64:
		numbers = []float64{v}
	case bool, int, int64, time.Time:
	case []string:
		list, texts = true, v
	case []float64:
		list, numbers = true, v
	case []int64:
		list = true
	default:
		return fmt.Errorf("a value of type %T: use a string, bool, int, int64, float64, time.Time, or []string, []int64 or []float64", c.Value)
	}
	if list != (c.Is == In || c.Is == NotIn) {
		return fmt.Errorf("%v with a %T: In and NotIn take a slice, the others do not", c.Is, c.Value)
	}
	for _, s := range texts {
		if !utf8.ValidString(s) {
			return fmt.Errorf("the text %q is not UTF-8", s)
		}
	}
	for _, x := range numbers {
		if math.IsNaN(x) {
			return errors.New("NaN is compared with nothing")
		}
	}
	return nil
}
