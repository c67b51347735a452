package lane

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
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

// Fits reports whether the done map stays below what a commit can carry, in
// whatever order the records that are not done become so, if the record at
// offset were tracked next.
func (t *Tracker) Fits(offset int64) bool {
	if t.first == t.next {
		return true
	}
	span := offset - t.at(t.first).offset + 1
	return span <= maxBits || 2*(t.open+1)*varintLen(span) <= maxPayload
}

func varintLen(n int64) int { return (bits.Len64(uint64(n)|1) + 6) / 7 }

// DoneMap encodes what is done above the low-water mark; "" if nothing is, or
// if it does not fit (see Fits).
func (t *Tracker) DoneMap() string {
	base, ok := t.LowWater()
	if !ok || t.open == t.Pending() {
		return ""
	}
	// Offsets that were not delivered count as what stands before them: there
	// is nothing to do for them, and the runs get longer.
	var set []byte
	runs := []byte{}
	done, begin := false, int64(0)
	end := int64(0) // after the last offset that is done
	for seq := t.first; seq < t.next; seq++ {
		e := t.at(seq)
		at := e.offset - base
		if e.done != done {
			runs = binary.AppendUvarint(runs, uint64(at-begin))
			done, begin = e.done, at
		}
		if !e.done {
			continue
		}
		end = at + 1
		if at < maxBits {
			for int64(len(set)) <= at/8 {
				set = append(set, 0)
			}
			set[at/8] |= 1 << (at % 8)
		}
	}
	if done {
		runs = binary.AppendUvarint(runs, uint64(end-begin))
	}
	kind, payload := "r", runs
	if end <= maxBits && len(set) < len(runs) {
		kind, payload = "b", set
	}
	if len(payload) > maxPayload {
		return ""
	}
	return donePrefix + kind + ":" + strconv.FormatInt(base, 10) + ":" + base64.RawURLEncoding.EncodeToString(payload)
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

// Take reports whether offset is in the set. Offsets must be asked for in
// rising order; what lies below is forgotten.
func (d *DoneSet) Take(offset int64) bool {
	for len(d.runs) > 0 && d.runs[0].to <= offset {
		d.runs = d.runs[1:]
	}
	return len(d.runs) > 0 && d.runs[0].from <= offset
}
