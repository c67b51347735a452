package lane

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"sort"
	"strconv"
	"strings"
)

// A done map says which records above a low-water mark are done. It travels
// as the metadata of a commit, so that a restart does only what was not
// finished:
//
//	millrace1:<b or r>:<the mark it belongs to>:<base64url>
//
// With b the payload is a bitset, bit i of which is offset mark+i. With r it
// is run lengths as varints, in turn of what is not done and what is. The
// shorter of the two is written. It is ASCII because Kafka's strings are
// UTF-8: a broker mangles other bytes.
const donePrefix = "millrace1:"

const (
	// maxDoneMap bounds the string; brokers refuse 4,096 bytes and more by
	// default (offset.metadata.max.bytes).
	maxDoneMap = 4000
	// maxPayload is what of it is left for the payload, before base64.
	maxPayload = (maxDoneMap - len(donePrefix) - len("b:9223372036854775807:")) / 4 * 3
	// maxBits is how many offsets a bitset of that size covers.
	maxBits int64 = 8 * int64(maxPayload)
)

// maxPayload is that without what is reserved.
func (t *Tracker) maxPayload() int { return maxPayload - (t.reserve+3)/4*3 }

// Fits reports whether the done map stays below what a commit can carry, in
// whatever order the records that are not done become so, if the record at
// offset were tracked next.
func (t *Tracker) Fits(offset int64) bool {
	if t.first == t.next {
		return true
	}
	span := offset - t.at(t.first).offset + 1
	return span <= 8*int64(t.maxPayload()) || 2*(t.open+1)*varintLen(span) <= t.maxPayload()
}

func varintLen(n int64) int { return (bits.Len64(uint64(n)|1) + 6) / 7 }

// DoneMap encodes what is done above the low-water mark; "" if nothing is, or
// if it does not fit (see Fits). left is what an earlier tenure has done of what
// was not tracked yet: a tenure that ends soon must not forget it. Where it does
// not fit beside the rest it is left out, and done again.
func (t *Tracker) DoneMap(left DoneSet) string {
	base, ok := t.LowWater()
	switch {
	case ok:
	case t.first == t.next:
		return ""
	default: // nothing is done yet, and a commit says where the first one is
		base = t.First()
	}
	if s, fits := t.encode(base, left); fits {
		return s
	}
	s, _ := t.encode(base, DoneSet{})
	return s
}

// encode writes the shorter form, and reports whether it fits.
func (t *Tracker) encode(base int64, left DoneSet) (s string, fits bool) {
	var w doneWriter
	next := int64(0) // after what is written
	// Offsets that were not delivered count as what stands before them: there
	// is nothing to do for them, and the runs get longer.
	for seq := t.first; seq < t.next; seq++ {
		e := t.at(seq)
		w.add(e.offset-base, e.offset-base+1, e.done)
		next = e.offset - base + 1
	}
	for _, r := range left.runs {
		if from, to := max(r.from-base, next), r.to-base; from < to {
			if from > next {
				w.add(next, from, false)
			}
			w.add(from, to, true)
			next = to
		}
	}
	if w.end == 0 {
		return "", true
	}
	kind, payload := w.close()
	if len(payload) > t.maxPayload() {
		return "", false
	}
	return donePrefix + kind + ":" + strconv.FormatInt(base, 10) + ":" + base64.RawURLEncoding.EncodeToString(payload), true
}

// doneWriter writes both forms of a done map, offsets counted from the mark.
type doneWriter struct {
	set   []byte
	runs  []byte
	done  bool  // of the run that is open
	begin int64 // of that run
	end   int64 // after the last offset that is done
}

// add says of the offsets from from to to whether they are done.
func (w *doneWriter) add(from, to int64, done bool) {
	if done != w.done {
		w.runs = binary.AppendUvarint(w.runs, uint64(from-w.begin))
		w.done, w.begin = done, from
	}
	if !done {
		return
	}
	w.end = to
	for at := from; at < min(to, maxBits); at++ {
		for int64(len(w.set)) <= at/8 {
			w.set = append(w.set, 0)
		}
		w.set[at/8] |= 1 << (at % 8)
	}
}

// close gives the shorter form.
func (w *doneWriter) close() (kind string, payload []byte) {
	if w.done {
		w.runs = binary.AppendUvarint(w.runs, uint64(w.end-w.begin))
	}
	if w.end <= maxBits && len(w.set) < len(w.runs) {
		return "b", w.set
	}
	return "r", w.runs
}

// DoneSet is a decoded done map. The zero value is empty.
type DoneSet struct {
	runs []run // in the order of their offsets
}

type run struct{ from, to int64 } // to is not part of it

// ParseDoneMap decodes what DoneMap wrote for a lane that is read from base
// on. An empty string is an empty set. Of anything else that is not a done map
// of base it says what is wrong with it.
func ParseDoneMap(s string, base int64) (DoneSet, error) {
	if s == "" {
		return DoneSet{}, nil
	}
	rest, ok := strings.CutPrefix(s, donePrefix)
	if !ok {
		return DoneSet{}, errors.New("written by something else")
	}
	fields := strings.Split(rest, ":")
	if len(fields) != 3 {
		return DoneSet{}, errors.New("cut off")
	}
	of, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil || of < 0 || of > 1<<62 {
		return DoneSet{}, fmt.Errorf("no offset: %q", fields[1])
	}
	if of != base {
		return DoneSet{}, fmt.Errorf("made for offset %d, read from %d", of, base)
	}
	payload, err := base64.RawURLEncoding.Strict().DecodeString(fields[2])
	if err != nil {
		return DoneSet{}, fmt.Errorf("damaged: %w", err)
	}
	if len(payload) > maxPayload {
		return DoneSet{}, errors.New("too long")
	}
	switch fields[0] {
	case "b":
		return doneBits(payload, base), nil
	case "r":
		return doneRuns(payload, base)
	}
	return DoneSet{}, fmt.Errorf("unknown kind %q", fields[0])
}

func doneBits(set []byte, base int64) (d DoneSet) {
	for i := range int64(8 * len(set)) {
		if set[i/8]&(1<<(i%8)) != 0 {
			d.add(base+i, base+i+1)
		}
	}
	return d
}

func doneRuns(payload []byte, base int64) (d DoneSet, err error) {
	at := base
	for done := false; len(payload) > 0; done = !done {
		n, size := binary.Uvarint(payload)
		if size <= 0 {
			return DoneSet{}, errors.New("damaged: a run without a length")
		}
		if n > 1<<40 || at > 1<<62 {
			return DoneSet{}, fmt.Errorf("damaged: a run of %d", n)
		}
		payload = payload[size:]
		if done {
			d.add(at, at+int64(n))
		}
		at += int64(n)
	}
	return d, nil
}

func (d *DoneSet) add(from, to int64) {
	if n := len(d.runs); n > 0 && d.runs[n-1].to == from {
		d.runs[n-1].to = to
		return
	}
	d.runs = append(d.runs, run{from, to})
}

// Len is how many offsets are in the set.
func (d *DoneSet) Len() (n int64) {
	for _, r := range d.runs {
		n += r.to - r.from
	}
	return n
}

// Has reports whether offset is in the set.
func (d *DoneSet) Has(offset int64) bool {
	i := sort.Search(len(d.runs), func(i int) bool { return d.runs[i].to > offset })
	return i < len(d.runs) && d.runs[i].from <= offset
}

// Take reports whether offset is in the set. Offsets must be asked for in
// rising order; what lies below is forgotten.
func (d *DoneSet) Take(offset int64) bool {
	for len(d.runs) > 0 && d.runs[0].to <= offset {
		d.runs = d.runs[1:]
	}
	return len(d.runs) > 0 && d.runs[0].from <= offset
}
