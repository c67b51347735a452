package bigquery_test

import (
	"encoding/json"
	"math"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/civil"

	millrace "github.com/millrace-go/millrace/sink/bigquery"
	"github.com/millrace-go/millrace/stage"
)

// everything has a column of each type.
type everything struct {
	Text   string              `bigquery:"text"`
	Int    int                 `bigquery:"int"`
	Small  uint8               `bigquery:"small"`
	Float  float32             `bigquery:"float"`
	Bool   bool                `bigquery:"bool"`
	Bytes  []byte              `bigquery:"bytes"`
	At     time.Time           `bigquery:"at"`
	Day    civil.Date          `bigquery:"day"`
	Clock  civil.Time          `bigquery:"clock"`
	Local  civil.DateTime      `bigquery:"local"`
	Exact  *big.Rat            `bigquery:"exact"`
	Maybe  bigquery.NullString `bigquery:"maybe"`
	Nobody bigquery.NullInt64  `bigquery:"nobody"`
	Vector []float64           `bigquery:"vector"`
	None   []string            `bigquery:"none"`
	Inner  inner               `bigquery:"inner"`
	Inners []inner             `bigquery:"inners"`
	Gone   *inner              `bigquery:"gone,nullable"`
}

type inner struct {
	Name string    `bigquery:"name"`
	At   time.Time `bigquery:"at"`
}

var sample = everything{
	Text: "größer \x00 ok", Int: math.MinInt64, Small: 200, Float: 0.5, Bool: true, Bytes: []byte{0, 0xff},
	At: time.Date(2019, 4, 1, 12, 0, 0, 1000, time.UTC), Day: civil.Date{Year: 1969, Month: 12, Day: 31},
	Clock: civil.Time{Hour: 1, Minute: 2, Second: 3, Nanosecond: 4000}, Local: civil.DateTime{Date: civil.Date{Year: 2020, Month: 2, Day: 29}},
	Exact: big.NewRat(1, 4), Maybe: bigquery.NullString{StringVal: "there", Valid: true},
	Vector: []float64{1, -2.5}, Inner: inner{"a", time.Unix(1, 0)}, Inners: []inner{{Name: "b"}, {Name: "c"}},
}

func TestEachTypeOfColumn(t *testing.T) {
	f := startFake(t)
	for _, sink := range []stage.Sink[everything]{millrace.Append[everything](f.table(t)), pointers(millrace.Append[*everything](f.table(t)))} {
		f.mu.Lock()
		f.rows = nil
		f.mu.Unlock()
		writeAll(t, sink, sample)
		var got map[string]any
		if err := json.Unmarshal([]byte(f.written()[0]), &got); err != nil {
			t.Fatal(err)
		}
		stamp := func(t time.Time) string { b, _ := json.Marshal(t.UnixMicro()); return string(b) }
		want := map[string]any{
			"text": "größer \x00 ok", "int": "-9223372036854775808", "small": "200", "float": 0.5, "bool": true, "bytes": "AP8=",
			"at": stamp(sample.At), "day": -1.0, "clock": "01:02:03.000004", "local": "2020-02-29 00:00:00", "exact": "0.250000000",
			"maybe": "there", "vector": []any{1.0, -2.5},
			"inner":  map[string]any{"name": "a", "at": stamp(time.Unix(1, 0))},
			"inners": []any{map[string]any{"name": "b", "at": stamp(time.Time{})}, map[string]any{"name": "c", "at": stamp(time.Time{})}},
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got  %v\nwant %v", got, want)
		}
	}
}

// pointers makes a sink of pointers one of values.
func pointers(s stage.Sink[*everything]) stage.Sink[everything] {
	return stage.Sink[everything]{Targets: s.Targets, Encode: func(v everything, in *stage.Raw, emit func(int, stage.Raw)) error {
		return s.Encode(&v, in, emit)
	}}
}

// writeAll writes values by a sink that is no LaneOpener.
func writeAll[T any](t *testing.T, s stage.Sink[T], values ...T) {
	t.Helper()
	w, err := s.Targets[0].Open(t.Context(), stage.Env{Stage: "test", Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	a := &answers{tb: t, errs: make([]error, len(values)), left: len(values), all: make(chan struct{})}
	var raws []stage.Raw
	for i, v := range values {
		if err := s.Encode(v, &stage.Raw{Topic: "in", Offset: int64(i)}, func(_ int, r stage.Raw) { raws = append(raws, r) }); err != nil {
			t.Fatal(err)
		}
	}
	w.Write(raws, a.done)
	a.written()
	if err := w.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestRowsThatCannotBeEncoded(t *testing.T) {
	f := startFake(t)
	bad := sample
	bad.Inners = []inner{{Name: "not \xff text"}}
	for name, c := range map[string]struct {
		encode func() error
		want   string
	}{
		"not UTF-8, Storage": {encode(millrace.Append[everything](f.table(t)), bad), "column inners.name: the text is not UTF-8"},
		"not UTF-8, JSON":    {encode(millrace.Insert[everything](millrace.Table{}), bad), "column inners.name: the text is not UTF-8"},
		"NaN, JSON":          {encode(millrace.Load[everything](millrace.Table{}, nil), everything{Float: float32(math.NaN()), Exact: new(big.Rat)}), "NaN"},
		"nil":                {encode(millrace.AppendOnce[*everything](f.table(t)), nil), "nil row"},
		"no struct":          {encode(millrace.AppendOnce[string](f.table(t)), "x"), "rows are structs"},
		"no column":          {encode(millrace.Append[struct{ C chan int }](f.table(t)), struct{ C chan int }{}), "chan int"},
	} {
		if err := c.encode(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func encode[T any](s stage.Sink[T], v T) func() error {
	return func() error { return s.Encode(v, &stage.Raw{}, func(int, stage.Raw) {}) }
}
