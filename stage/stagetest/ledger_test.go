package stagetest

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/millrace-go/millrace/stage"
)

// ledger is a place for records with transactions, in memory. The zero value
// of wrong is right.
type ledger struct {
	wrong string // what it does wrong, "" for nothing
	lane  *lane

	mu        sync.Mutex
	published []stage.Record[string]
	open      []stage.Record[string]
	mark      stage.Mark
	marked    bool
	acks      sync.WaitGroup
	round     int
}

func newLedger() *ledger {
	return &ledger{lane: &lane{revoked: make(chan struct{}), released: make(chan struct{}), onRelease: func() {}}}
}

func (l *ledger) fixture() SinkFixture[string] {
	return SinkFixture[string]{
		Sink: stage.Sink[string]{
			Targets: []stage.Target{{Open: func(context.Context, stage.Env) (stage.Writer, error) { return l, nil }}},
			Encode: func(v string, in *stage.Raw, emit func(int, stage.Raw)) error {
				out := *in
				out.Value = []byte(v)
				emit(0, out)
				return nil
			},
		},
		Value: func(i int) string { return fmt.Sprint("value ", i) },
		Written: func() []stage.Record[string] {
			l.mu.Lock()
			defer l.mu.Unlock()
			all := append([]stage.Record[string](nil), l.published...)
			if l.wrong == "shows what is not committed" {
				all = append(all, l.open...)
			}
			return all
		},
		Transaction: &Transaction{ID: "id", Lane: l.lane, Mark: func() (int64, bool) {
			l.mu.Lock()
			defer l.mu.Unlock()
			return l.mark.Offset, l.marked
		}},
	}
}

func (l *ledger) Begin(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.round++
	if l.wrong != "keeps what was aborted" {
		l.open = nil
	}
	return nil
}

func (l *ledger) Write(recs []stage.Raw, done func(int, error)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, r := range recs {
		l.open = append(l.open, stage.Record[string]{Value: string(r.Value), Raw: r})
		l.acks.Go(func() { done(i, nil) })
	}
}

func (l *ledger) Commit(_ context.Context, marks map[stage.Lane]stage.Mark) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.published = append(l.published, l.open...)
	l.open = nil
	if m, ok := marks[l.lane]; ok && l.wrong != "forgets the marks" {
		l.mark, l.marked = m, true
	}
	return nil
}

func (l *ledger) Abort(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wrong == "publishes what is aborted" {
		l.published = append(l.published, l.open...)
	}
	if l.wrong != "keeps what was aborted" {
		l.open = nil
	}
	return nil
}

func (l *ledger) Close(context.Context) error {
	l.acks.Wait()
	return nil
}

func TestSuiteFindsWrongTransactions(t *testing.T) {
	for wrong, want := range map[string]map[string]string{
		"shows what is not committed": {"publishes at the commit": "20 records are there, and 0 were written"},
		"publishes what is aborted":   {"aborts without a trace": "10 records are there, and 0 were written"},
		"keeps what was aborted":      {"aborts without a trace": "20 records are there, and 10 were written", "aborts while writes are under way": "are there"},
		"forgets the marks":           {"publishes at the commit": "committed is -1, want 1"},
	} {
		t.Run(wrong, func(t *testing.T) {
			found := findings(t, func(testing.TB) SinkFixture[string] {
				l := newLedger()
				l.wrong = wrong
				return l.fixture()
			}, sinkChecks)
			wantFindings(t, found, want)
		})
	}
}
