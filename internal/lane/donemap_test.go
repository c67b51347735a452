package lane

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

// reborn is what the next tenure skips, given what this one has committed.
func reborn(t *testing.T, tr *Tracker) (mark int64, set DoneSet) {
	t.Helper()
	s := tr.DoneMap(DoneSet{})
	if len(s) > maxDoneMap {
		t.Fatalf("a done map of %d bytes", len(s))
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r < 0x21 || r > 0x7e }) {
		t.Fatalf("not plain ASCII: %q", s)
	}
	mark, _ = tr.LowWater()
	set, err := ParseDoneMap(s, mark)
	if err != nil {
		t.Fatal(err)
	}
	return mark, set
}

// TestDoneMapSkipsJustWhatIsDone goes through lanes with gaps, of every kind
// from nearly nothing done to nearly all.
func TestDoneMapSkipsJustWhatIsDone(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	kinds := map[byte]int{}
	for round := range 300 {
		var tr Tracker
		odds, sticky := rng.Float64(), rng.Float64()
		offset := rng.Int64N(1 << 40)
		offsets := make([]int64, 1+rng.IntN(3000))
		done := make(map[int64]bool)
		last := false
		for i := range offsets {
			offset += 1 + max(0, rng.Int64N(20)-18)
			offsets[i] = offset
			seq := tr.Track(offset)
			if rng.Float64() > sticky {
				last = rng.Float64() < odds
			}
			if last {
				tr.Done(seq)
				done[offset] = true
			}
		}
		s := tr.DoneMap(DoneSet{})
		if s == "" && tr.open < tr.Pending() {
			t.Fatalf("round %d: %d records above the mark, %d of them not done, and no map", round, tr.Pending(), tr.open)
		}
		if s != "" {
			kinds[s[len(donePrefix)]]++
		}
		mark, set := reborn(t, &tr)
		for _, o := range offsets {
			if o < mark {
				if !done[o] {
					t.Fatalf("round %d: the mark %d is above %d, which is not done", round, mark, o)
				}
				continue
			}
			if got := set.Has(o); got != done[o] {
				t.Fatalf("round %d: offset %d is in the set: %v, done: %v", round, o, got, done[o])
			}
			if got := set.Take(o); got != done[o] {
				t.Fatalf("round %d: offset %d is skipped: %v, done: %v", round, o, got, done[o])
			}
		}
	}
	if kinds['b'] == 0 || kinds['r'] == 0 {
		t.Errorf("kinds written: %v; want both", kinds)
	}
}

// TestDoneMapAlwaysFits holds Fits to its word against the worst pattern:
// every other record done.
func TestDoneMapAlwaysFits(t *testing.T) {
	for _, c := range []struct {
		gap     int64
		reserve int
	}{{1, 0}, {3, 0}, {40, 0}, {1, 2000}, {3, 2001}, {40, 1999}} {
		gap := c.gap
		var tr Tracker
		tr.Reserve(c.reserve)
		first := tr.Track(1 << 50)
		refused := false
		var seqs []uint64
		for o := int64(1<<50) + 1; len(seqs) < 100_000; o += gap {
			if !tr.Fits(o) {
				refused = true
				break
			}
			seqs = append(seqs, tr.Track(o))
		}
		if !refused {
			t.Fatalf("gap %d: %d open records fit", gap, len(seqs))
		}
		for i, seq := range seqs {
			if i%2 == 1 {
				tr.Done(seq)
			}
		}
		if s := tr.DoneMap(DoneSet{}); s == "" || len(s) > maxDoneMap-c.reserve {
			t.Errorf("gap %d, %d records: a map of %d bytes", gap, len(seqs), len(s))
		}
		for _, seq := range seqs {
			tr.Done(seq)
		}
		tr.Done(first)
		if !tr.Fits(1 << 60) {
			t.Errorf("gap %d: nothing is open, and nothing fits", gap)
		}
	}
}

// TestStuckRecordWithManyDoneAbove is the case that the map is for.
// TestDoneMapBeforeAnythingIsDone: what an earlier tenure has done above is kept
// in a commit that is there for a note alone.
func TestDoneMapBeforeAnythingIsDone(t *testing.T) {
	left, err := ParseDoneMap(doneFrom(t, 100, 500, 900), 100)
	if err != nil || left.Len() == 0 {
		t.Fatal(left.Len(), err)
	}
	var tr Tracker
	if s := tr.DoneMap(left); s != "" {
		t.Errorf("nothing is tracked, and the map is %q", s)
	}
	for offset := int64(100); offset < 110; offset++ {
		tr.Track(offset)
	}
	again, err := ParseDoneMap(tr.DoneMap(left), tr.First())
	if err != nil || again.Len() != left.Len() || !again.Has(500) || !again.Has(899) || again.Has(499) || again.Has(100) {
		t.Errorf("%d records are done, want %d; %v", again.Len(), left.Len(), err)
	}
}

// doneFrom is the map of a tenure that began at mark and has done from to to.
func doneFrom(t *testing.T, mark, from, to int64) string {
	t.Helper()
	var tr Tracker
	for offset := mark; offset < to; offset++ {
		if seq := tr.Track(offset); offset >= from {
			tr.Done(seq)
		}
	}
	return tr.DoneMap(DoneSet{})
}

func TestStuckRecordWithManyDoneAbove(t *testing.T) {
	var tr Tracker
	tr.Track(7)
	for o := int64(8); o < 1_000_000; o++ {
		if !tr.Fits(o) {
			t.Fatalf("refused at %d, although one run says it all", o)
		}
		tr.Done(tr.Track(o))
	}
	mark, set := reborn(t, &tr)
	if mark != 7 || set.Take(7) || !set.Take(8) || !set.Take(999_999) || set.Take(1_000_000) {
		t.Errorf("mark %d, set %+v", mark, set)
	}
}

func TestForeignDoneMaps(t *testing.T) {
	var tr Tracker
	tr.Track(5)
	tr.Done(tr.Track(6))
	good := tr.DoneMap(DoneSet{})
	if set, err := ParseDoneMap(good, 5); err != nil || set.Len() != 1 {
		t.Fatalf("%q: %v, %v", good, set, err)
	}
	for s, base := range map[string]int64{
		good:                        6,
		"checkpoint 12":             5,
		"millrace1:r":               5,
		"millrace1:r:x:AAAA":        5,
		"millrace1:z:5:AQE":         5,
		"millrace1:r:5:!!":          5,
		"millrace1:r:5:gICA":        5,
		"millrace1:r:5:_____39":     5,
		good[:len(good)-1] + "\xff": 5,
	} {
		if set, err := ParseDoneMap(s, base); err == nil || set.Len() != 0 {
			t.Errorf("%q from %d: %v, %v; want an error and nothing to skip", s, base, set, err)
		}
	}
}

func FuzzParseDoneMap(f *testing.F) {
	var tr Tracker
	tr.Track(5)
	tr.Done(tr.Track(6))
	f.Add(tr.DoneMap(DoneSet{}), int64(5))
	f.Add("millrace1:b:5:_w", int64(5))
	f.Add("millrace1:r:5:gICA", int64(5))
	f.Fuzz(func(t *testing.T, s string, base int64) {
		set, err := ParseDoneMap(s, base)
		if err != nil {
			return
		}
		if !utf8.ValidString(s) {
			t.Fatalf("%q was taken", s)
		}
		last := base
		for _, r := range set.runs {
			if r.from < last || r.to < r.from {
				t.Fatalf("%q: runs %v", s, set.runs)
			}
			last = r.to
		}
	})
}
