package bigquery

import (
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/millrace-go/millrace/stage"
)

func TestNotesAreReadAsTheyWereWritten(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	set := func() offsets {
		o := make(offsets)
		at := rng.Int64N(1 << 50)
		if rng.IntN(5) == 0 {
			at = 0
		}
		for range rng.IntN(200) {
			o[at] = struct{}{}
			at += 1 + max(0, rng.Int64N(30)-20)
		}
		return o
	}
	for range 500 {
		n := note{at: rng.Int64N(1 << 40), rows: rng.Int64N(1000), written: set(), next: set()}
		if rng.IntN(4) > 0 {
			n.stream = "projects/p/datasets/d/tables/t-1/streams/Cic3"
		}
		s := n.String()
		got, err := parseNote(s)
		if err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		if s == "" {
			if len(n.written) > 0 || n.stream != "" {
				t.Fatalf("%+v is written as nothing", n)
			}
			continue
		}
		if got.stream != n.stream || got.at != n.at || got.rows != n.rows || !maps.Equal(got.written, n.written) || !maps.Equal(got.next, n.next) {
			t.Fatalf("wrote %+v, read %+v", n, got)
		}
	}
}

// TestWhatIsWrittenOfANoteFits: once its rows are there, the two sets of a note
// that fits are one, and that has to fit as well.
func TestWhatIsWrittenOfANoteFits(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	near := 0
	for range 800 {
		n := note{stream: "projects/p/datasets/d/tables/t/streams/s", at: 1 << 40, rows: 1 << 20, written: make(offsets), next: make(offsets)}
		base, spread := rng.Int64N(1<<45), 1+rng.Int64N(1<<rng.IntN(40))
		for range 1 + rng.IntN(700) {
			o := n.written
			if rng.IntN(2) == 0 {
				o = n.next
			}
			o[base+rng.Int64N(spread)] = struct{}{}
		}
		if !n.fits() {
			continue
		}
		if len(n.String()) > stage.MaxNote/2 {
			near++
		}
		maps.Copy(n.written, n.next)
		n.next = nil
		if size := len(n.String()); size > stage.MaxNote {
			t.Fatalf("a note that fits has become one of %d bytes", size)
		}
	}
	if near < 20 {
		t.Errorf("only %d notes were long", near)
	}
}

func FuzzNote(f *testing.F) {
	f.Add(note{stream: "s", at: 3, rows: 2, written: offsets{1: {}, 2: {}}, next: offsets{7: {}}}.String())
	f.Add(notePrefix + "s 1 2 ___________w -")
	f.Fuzz(func(t *testing.T, s string) {
		n, err := parseNote(s)
		if err != nil || s == "" {
			return
		}
		again, err := parseNote(n.String())
		if err != nil && n.String() != "" {
			t.Fatalf("%q, read and written, is %q: %v", s, n, err)
		}
		if !maps.Equal(again.written, n.written) && n.String() != "" {
			t.Fatalf("%q: %v, then %v", s, n, again)
		}
	})
}
