package bigquery

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace-go/millrace/stage"
)

// note is what is committed of a lane besides the mark:
//
//	millrace-rows1 <stream> <at> <rows> <written> <next>
//
// All rows of the records at the offsets written are in the table. The rows of
// those at the offsets next are, all or none, at this place of the stream: if
// it ends there, they are not.
//
// The two sets are the runs of offsets that are in it, as varints in base64url,
// in turn of what is not and what is; the first one begins at 0. "-" is an
// empty set, or no stream.
type note struct {
	stream  string
	at      int64
	rows    int64
	written offsets
	next    offsets
}

const notePrefix = "millrace-rows1 "

// offsets is a set of records of a lane.
type offsets map[int64]struct{}

// String is "" for a note that says nothing.
func (n note) String() string {
	if n.stream == "" && len(n.written) == 0 {
		return ""
	}
	stream := n.stream
	if stream == "" {
		stream = "-"
	}
	return fmt.Sprintf("%s%s %d %d %s %s", notePrefix, stream, n.at, n.rows, n.written, n.next)
}

// fits reports whether the note can be committed, and whatever is written of
// it, too.
func (n note) fits() bool { return len(n.String())+100 <= stage.MaxNote }

// parseNote reads what String wrote.
func parseNote(s string) (n note, err error) {
	if s == "" {
		return note{}, nil
	}
	f := strings.Split(strings.TrimPrefix(s, notePrefix), " ")
	if len(f) != 5 {
		return note{}, errors.New("cut off")
	}
	if f[0] != "-" {
		n.stream = f[0]
	}
	var errs [4]error
	n.at, errs[0] = strconv.ParseInt(f[1], 10, 64)
	n.rows, errs[1] = strconv.ParseInt(f[2], 10, 64)
	n.written, errs[2] = parseOffsets(f[3])
	n.next, errs[3] = parseOffsets(f[4])
	return n, errors.Join(errs[:]...)
}

func (o offsets) String() string {
	if len(o) == 0 {
		return "-"
	}
	var runs []byte
	var from, to int64 // the run that is open
	for _, at := range slices.Sorted(maps.Keys(o)) {
		if at != to || len(runs) == 0 {
			if len(runs) > 0 {
				runs = binary.AppendUvarint(runs, uint64(to-from))
			}
			runs = binary.AppendUvarint(runs, uint64(at-to))
			from = at
		}
		to = at + 1
	}
	runs = binary.AppendUvarint(runs, uint64(to-from))
	return base64.RawURLEncoding.EncodeToString(runs)
}

// mostOffsets bounds what is read, whatever is written there.
const mostOffsets = 1 << 24

func parseOffsets(s string) (offsets, error) {
	o := make(offsets)
	if s == "-" {
		return o, nil
	}
	runs, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("a set of offsets is damaged: %w", err)
	}
	at := int64(0)
	for in := false; len(runs) > 0; in = !in {
		n, size := binary.Uvarint(runs)
		if size <= 0 || n > 1<<62 || at > 1<<62 || in && n > mostOffsets {
			return nil, errors.New("a set of offsets is damaged")
		}
		runs = runs[size:]
		if in {
			for i := range int64(n) {
				o[at+i] = struct{}{}
			}
		}
		at += int64(n)
	}
	return o, nil
}
