package stage

import (
	"bytes"
	"testing"
)

// TestParcel: outputs that lie one behind the other are sent where they lie,
// others are copied, and none is changed by that.
func TestParcel(t *testing.T) {
	made := func(values string) (all []Raw) {
		for i := range values {
			all = append(all, Raw{Value: []byte{values[i]}})
		}
		return append(make([]Raw, 0, 8), all...)
	}
	one, two := made("abcd"), made("efgh")
	for _, c := range []struct {
		name   string
		outs   [][]Raw
		want   string
		copied bool
	}{
		{"a batch", [][]Raw{one[:1], one[1:3], one[3:]}, "abcd", false},
		{"without the first", [][]Raw{one[1:2], one[2:]}, "bcd", false},
		{"without one between", [][]Raw{one[:1], one[2:3], one[3:]}, "acd", true},
		{"in another order", [][]Raw{one[1:2], one[:1]}, "ba", true},
		{"of two batches", [][]Raw{one[:2], two[:2], one[2:], two[2:]}, "abefcdgh", true},
		{"some without outputs", [][]Raw{one[:0], one[:1], {}, one[1:2]}, "ab", false},
	} {
		var p parcel
		for _, out := range c.outs {
			k := &task{out: out}
			for i := range out {
				p.add(k, out[i:])
			}
		}
		var got []byte
		for i := range p.recs {
			got = append(got, p.recs[i].Value...)
			if !bytes.Equal(p.owner[i].out[0].Value, p.recs[i].Value) && len(p.owner[i].out) == 1 {
				t.Errorf("%s: record %d has another owner", c.name, i)
			}
		}
		if string(got) != c.want || p.copied != c.copied || len(p.owner) != len(p.recs) {
			t.Errorf("%s: %q of %d owners, copied: %v; want %q, copied: %v", c.name, got, len(p.owner), p.copied, c.want, c.copied)
		}
	}
	for i, want := range "abcd" {
		if string(one[i].Value) != string(want) || string(two[i].Value) != string(want+4) {
			t.Errorf("output %d has become %q or %q", i, one[i].Value, two[i].Value)
		}
	}
}

// TestStrandsServeAgain, but not those that somebody may still look at.
func TestStrandsServeAgain(t *testing.T) {
	var f strands
	lane := &tenure{}
	s := f.get(lane)
	s.id, s.shared = 7, true
	f.put(s)
	if s.tenure != nil || s.id != 0 || s.shared {
		t.Errorf("not as new: %+v", s)
	}
	if again := f.get(lane); again != s || again.tenure != lane {
		t.Error("a strand that is over does not serve again")
	}
	s.round = 1 // its outputs had to be written again
	f.put(s)
	for range 100 {
		if f.get(lane) == s {
			t.Fatal("a worker that hangs in a write would find another strand there")
		}
	}
}
