package stagetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/millrace-go/millrace/stage"
)

// notebook is a place that notes what it writes, in memory. The zero value of
// wrong is right.
type notebook struct {
	wrong string

	mu    sync.Mutex
	rows  []stage.Record[string]
	there map[string]bool // notes that came true
}

func (b *notebook) fixture() SinkFixture[string] {
	return SinkFixture[string]{
		Sink: stage.Sink[string]{
			Targets: []stage.Target{{Open: func(context.Context, stage.Env) (stage.Writer, error) { return notebookWriter{b}, nil }}},
			Encode: func(v string, in *stage.Raw, emit func(int, stage.Raw)) error {
				out := *in
				out.Value = []byte(v)
				emit(0, out)
				return nil
			},
		},
		Value: func(i int) string { return fmt.Sprint("value ", i) },
		Written: func() []stage.Record[string] {
			b.mu.Lock()
			defer b.mu.Unlock()
			return slices.Clone(b.rows)
		},
		Lanes: true,
	}
}

type notebookWriter struct{ b *notebook }

func (notebookWriter) Write(recs []stage.Raw, done func(int, error)) {
	for i := range recs {
		done(i, errors.New("of no lane"))
	}
}
func (notebookWriter) Close(context.Context) error { return nil }

func (w notebookWriter) OpenLane(_ stage.Lane, note string, commit func()) stage.LaneWriter {
	p := &page{b: w.b, commit: commit, written: make(map[string]bool)}
	written, next, _ := strings.Cut(note, "|")
	w.b.mu.Lock()
	defer w.b.mu.Unlock()
	if w.b.there[next] && w.b.wrong != "does not look what came true" {
		written += "," + next
	}
	if w.b.wrong == "forgets what was written" {
		written = ""
	}
	for at := range strings.SplitSeq(written, ",") {
		p.written[at] = true
	}
	return p
}

type page struct {
	b      *notebook
	commit func()

	mu            sync.Mutex
	written       map[string]bool
	waiting, next []pending
	over          bool
}

type pending struct {
	raw  stage.Raw
	done func(error)
}

func (e pending) at() string { return fmt.Sprint(e.raw.Offset) }

func (p *page) Write(recs []stage.Raw, done func(int, error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, r := range recs {
		e := pending{r, func(err error) { done(i, err) }}
		switch {
		case p.over && p.b.wrong != "acknowledges at the end":
			e.done(errors.New("over"))
		case p.over || p.written[e.at()]:
			e.done(nil)
		default:
			p.waiting = append(p.waiting, e)
		}
	}
	if p.b.wrong == "writes at once" {
		p.next, p.waiting = p.waiting, nil
		p.apply("")
	}
	if p.b.wrong != "asks for no commit" {
		p.commit()
	}
}

func (p *page) Note(done func(int64) bool) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.next) == 0 && !p.over {
		n := min(len(p.waiting), 20)
		p.next, p.waiting = p.waiting[:n:n], p.waiting[n:]
	}
	if p.b.wrong == "writes with the note" {
		p.apply("")
	}
	for at := range p.written {
		var offset int64
		if _, err := fmt.Sscan(at, &offset); err == nil && done(offset) {
			delete(p.written, at)
		}
	}
	note := p.note()
	if p.b.wrong == "notes too much" {
		note += strings.Repeat(" ", stage.MaxNote)
	}
	if p.b.wrong == "notes what is no ASCII" {
		note += "ключ"
	}
	return note
}

func (p *page) note() string {
	var next []string
	for _, e := range p.next {
		next = append(next, e.at())
	}
	return strings.Join(slices.Sorted(maps.Keys(p.written)), ",") + "|" + strings.Join(next, ",")
}

func (p *page) Noted() {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, next, _ := strings.Cut(p.note(), "|")
	p.apply(next)
}

// apply writes what was noted, as note says.
func (p *page) apply(note string) {
	p.b.mu.Lock()
	defer p.b.mu.Unlock()
	if p.over || len(p.next) == 0 {
		return
	}
	for _, e := range p.next {
		p.b.rows = append(p.b.rows, stage.Record[string]{Value: string(e.raw.Value), Raw: e.raw})
		p.written[e.at()] = true
		e.done(nil)
	}
	if p.b.there == nil {
		p.b.there = make(map[string]bool)
	}
	p.b.there[note] = true
	p.next = nil
	if len(p.waiting) > 0 {
		p.commit()
	}
}

func (p *page) End() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	for _, e := range append(p.waiting, p.next...) {
		e.done(map[bool]error{false: errors.New("over")}[p.b.wrong == "acknowledges at the end"])
	}
	p.waiting, p.next = nil, nil
}

func TestLaneOpenerPassesTheSuite(t *testing.T) {
	open := func(testing.TB) SinkFixture[string] { return new(notebook).fixture() }
	t.Run("bubble", func(t *testing.T) { inBubbles(t, open, sinkChecks) })
	TestSink(t, open)
}

func TestSuiteFindsWrongLanes(t *testing.T) {
	const (
		notes = "writes what was noted"
		crash = "writes once, whatever a crash leaves"
		ends  = "ends a lane"
	)
	for _, c := range []struct {
		wrong string
		want  map[string]string
	}{
		{"writes at once", map[string]string{notes: "5 records are there, and 0 were written", ends: "was answered with <nil>"}},
		{"writes with the note", map[string]string{notes: "5 records are there, and 0 were written"}},
		{"asks for no commit", map[string]string{notes: "has not asked for a commit", ends: "has not asked for a commit"}},
		{"does not look what came true", map[string]string{crash: "records are there, and 38 were written"}},
		{"forgets what was written", map[string]string{crash: "records are there, and 38 were written"}},
		{"notes too much", map[string]string{notes: "a note of", crash: "a note of", ends: "a note of"}},
		{"notes what is no ASCII", map[string]string{notes: "not printable ASCII", crash: "not printable ASCII", ends: "not printable ASCII"}},
		{"acknowledges at the end", map[string]string{ends: "was answered with <nil>"}},
	} {
		t.Run(c.wrong, func(t *testing.T) {
			found := findings(t, func(testing.TB) SinkFixture[string] { return (&notebook{wrong: c.wrong}).fixture() },
				func(tb testing.TB, f SinkFixture[string]) []check[SinkFixture[string]] {
					return slices.DeleteFunc(sinkChecks(tb, f), func(c check[SinkFixture[string]]) bool {
						return c.name != notes && c.name != crash && c.name != ends
					})
				})
			wantFindings(t, found, c.want)
		})
	}
}
