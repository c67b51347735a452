package bigquery_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	millrace "github.com/millrace-go/millrace/sink/bigquery"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/stagetest"
)

// suiteOf is a fixture of a sink that writes to a fake.
func suiteOf(sink func(millrace.Table) stage.Sink[item], lanes bool) func(testing.TB) stagetest.SinkFixture[item] {
	return func(tb testing.TB) stagetest.SinkFixture[item] {
		f := startFake(tb)
		f.wrong = func(row map[string]any) string {
			if row["id"] == "wrong" {
				return "this one is wrong"
			}
			return ""
		}
		return stagetest.SinkFixture[item]{
			Sink:  sink(f.table(tb)),
			Value: itemAt,
			Written: func() (all []stage.Record[item]) {
				for _, it := range f.items(tb) {
					all = append(all, stage.Record[item]{Value: it})
				}
				return all
			},
			Without:   stagetest.Keys | stagetest.Headers | stagetest.Times,
			Unordered: true,
			Lanes:     lanes,
			TooLarge:  func() item { return item{ID: "wrong"} },
		}
	}
}

func TestAppendOncePassesTheSuite(t *testing.T) {
	stagetest.TestSink(t, suiteOf(millrace.AppendOnce[item], true))
}

func TestAppendPassesTheSuite(t *testing.T) {
	stagetest.TestSink(t, suiteOf(millrace.Append[item], false))
}

// TestOnceThroughFaults: errors of the service, and answers that are lost.
func TestOnceThroughFaults(t *testing.T) {
	f := startFake(t)
	f.fault = func(method string, nth int) fault {
		switch {
		case nth == 1 && method == "create":
			return fault{before: status.Error(codes.Unavailable, "away")}
		case nth == 2 && method == "create":
			return fault{after: status.Error(codes.Internal, "the answer is lost")}
		case method == "append" && nth == 1:
			return fault{before: status.Error(codes.Internal, "something")}
		case method == "append" && nth == 2:
			return fault{before: status.Error(codes.ResourceExhausted, "quota")}
		case method == "append" && nth == 3:
			return fault{after: status.Error(codes.Unavailable, "the answer is lost")}
		case method == "append" && nth == 6:
			return fault{after: status.Error(codes.Aborted, "the answer is lost")}
		}
		return fault{}
	}
	o := own(t, f.table(t), "").commits()
	for i := range 6 {
		o.write(2*i, 2*i+1).written()
	}
	f.once(t, upTo(12)...)
	if f.count("failed create") != 1 || f.count("lost an answer to create") != 1 || f.count("failed append") != 2 || f.count("append of what is there") != 2 {
		t.Errorf("the faults were not met: %v", f.found)
	}
}

// TestOnceThroughAServiceThatHangs: each request has a time, and an append
// that took effect without an answer is not done twice.
func TestOnceThroughAServiceThatHangs(t *testing.T) {
	f := startFake(t)
	never := make(chan struct{})
	f.fault = func(method string, nth int) fault {
		switch {
		case nth == 1 && (method == "create" || method == "append"):
			return fault{hang: never}
		case nth == 2 && method == "append":
			return fault{hung: never}
		}
		return fault{}
	}
	table := f.table(t)
	table.Timeout = 100 * time.Millisecond
	o := own(t, table, "").commits()
	o.write(0, 1, 2).written()
	o.write(3).written()
	f.once(t, upTo(4)...)
	if f.count("hung before create") != 1 || f.count("hung before append") != 1 || f.count("hung behind append") != 1 || f.count("append of what is there") != 1 {
		t.Errorf("the faults were not met: %v", f.found)
	}
}

// TestAZombieIsFenced: its rows are on their way when the lane gets another
// owner, and arrive afterwards.
func TestAZombieIsFenced(t *testing.T) {
	f := startFake(t)
	release := make(chan struct{})
	f.fault = func(method string, nth int) fault {
		if method == "append" && nth == 2 {
			return fault{hang: release}
		}
		return fault{}
	}
	table := f.table(t)
	zombie := own(t, table, "").commits()
	zombie.write(0, 1).written()
	late := zombie.write(2, 3)
	await(t, "that an append hangs", func() bool { return f.count("hung before append") == 1 })
	note := zombie.committed()
	close(zombie.over) // nobody commits for it any more
	zombie.all.Wait()

	o := own(t, table, note).commits()
	o.write(0, 1, 2, 3, 4).written()
	close(release)
	await(t, "that the zombie's append arrives", func() bool { return f.count("append to a finalised stream") == 1 })
	zombie.asked() // it would go on with another stream, if it could commit that
	late.unanswered()
	f.once(t, upTo(5)...)
	zombie.End()
	for _, err := range late.wait() {
		if err == nil {
			t.Error("a row of a zombie's was acknowledged")
		}
	}
}

// TestRowsBehindTheLastCommitAreCounted: an append has taken effect, and
// nobody has heard of it.
func TestRowsBehindTheLastCommitAreCounted(t *testing.T) {
	f := startFake(t)
	never := make(chan struct{})
	f.fault = func(method string, nth int) fault {
		switch {
		case method == "append" && nth == 2:
			return fault{hung: never}
		case method == "finalize" && nth == 1:
			return fault{after: status.Error(codes.Unavailable, "the answer is lost")}
		case method == "finalize" && nth == 2:
			return fault{before: status.Error(codes.Internal, "something")}
		}
		return fault{}
	}
	table := f.table(t)
	dead := own(t, table, "").commits()
	dead.write(10, 17).written()
	dead.write(25, 40) // there are gaps
	await(t, "that an append hangs", func() bool { return f.count("hung behind append") == 1 })
	note := dead.committed()

	o := own(t, table, note).commits()
	// Another record is skipped by now, one that failed is not, and one has
	// come to make no row.
	o.write(17, 18, 25, 26, 40, 41).written()
	f.once(t, 10, 17, 18, 25, 26, 40, 41)
	if f.calls["finalize"] < 3 {
		t.Errorf("the faults were not met: %v", f.calls)
	}
}

// TestWrongRows: they fail by name, and the rest of the request is there once,
// even if a crash follows.
func TestWrongRows(t *testing.T) {
	f := startFake(t)
	f.wrong = func(row map[string]any) string {
		if row["n"] == "3" || row["n"] == "7" {
			return "no such number"
		}
		return ""
	}
	table := f.table(t)
	o := own(t, table, "").commits()
	errs := o.write(upTo(10)...).wait()
	for i, err := range errs {
		if wrong := i == 3 || i == 7; wrong != stage.IsPermanent(err) || !wrong && err != nil {
			t.Errorf("row %d: %v", i, err)
		}
	}
	if want := "in/3@7: no such number"; !strings.Contains(errs[7].Error(), want) {
		t.Errorf("got %q, want one that says %q", errs[7], want)
	}
	next := own(t, table, o.committed()).commits() // the dead letters were written, nothing was committed
	for i, err := range next.write(upTo(12)...).wait() {
		if wrong := i == 3 || i == 7; wrong != (err != nil) {
			t.Errorf("again, row %d: %v", i, err)
		}
	}
	f.once(t, 0, 1, 2, 4, 5, 6, 8, 9, 10, 11)
	if f.count("request with wrong rows") != 2 {
		t.Errorf("%d requests had wrong rows", f.count("request with wrong rows"))
	}
}

// TestAStreamThatWasFinalised: BigQuery does that itself to a stream that is
// idle for long.
func TestAStreamThatWasFinalised(t *testing.T) {
	f := startFake(t)
	o := own(t, f.table(t), "").commits()
	o.write(0, 1).written()
	f.mu.Lock()
	for _, s := range f.streams {
		s.finalised = true
	}
	f.mu.Unlock()
	o.write(2, 3).written()
	o.write(4).written()
	f.once(t, upTo(5)...)
	if len(f.streams) != 2 {
		t.Errorf("%d streams", len(f.streams))
	}
}

// TestAStreamThatWasFinalisedBehindItsRows: the answer to the last append is
// lost, and then the stream is at its end.
func TestAStreamThatWasFinalisedBehindItsRows(t *testing.T) {
	f := startFake(t)
	f.fault = func(method string, nth int) fault {
		switch {
		case method == "append" && nth == 1:
			return fault{after: errAway}
		case method == "append" && nth == 2:
			f.mu.Lock()
			defer f.mu.Unlock()
			for _, s := range f.streams {
				s.finalised = true
			}
		}
		return fault{}
	}
	o := own(t, f.table(t), "").commits()
	o.write(0, 1).written()
	o.write(2).written()
	f.once(t, upTo(3)...)
	if f.count("lost an answer to append") != 1 || f.count("append to a finalised stream") != 1 {
		t.Errorf("the faults were not met: %v", f.found)
	}
}

// TestTheNoteStandsUntilItIsSettled: who dies before it knows what came true of
// the note must leave that to the next one.
func TestTheNoteStandsUntilItIsSettled(t *testing.T) {
	f := startFake(t)
	release := make(chan struct{})
	f.fault = func(method string, nth int) fault {
		if method == "finalize" && nth == 1 {
			return fault{hang: release}
		}
		return fault{}
	}
	table := f.table(t)
	dead := own(t, table, "").commits()
	dead.write(0, 1).written()
	note := dead.committed()
	o := own(t, table, note)
	await(t, "that the stream is being finalised", func() bool { return f.count("hung before finalize") == 1 })
	o.commit()
	if o.committed() != note {
		t.Errorf("committed %q before it was settled; want %q, which is not", o.committed(), note)
	}
	close(release)
	o.commits().write(0, 1, 2).written()
	f.once(t, upTo(3)...)
}

// TestACommitOfAnOlderNote says nothing of what came after it was made.
func TestACommitOfAnOlderNote(t *testing.T) {
	f := startFake(t)
	o := own(t, f.table(t), "")
	await(t, "that the lane is settled", func() bool { return o.Note(func(int64) bool { return false }) == "" })
	a := o.write(0, 1)
	o.asked()
	o.Noted()
	time.Sleep(100 * time.Millisecond)
	a.unanswered()
	f.once(t)
	o.commit()
	a.written()
	f.once(t, 0, 1)
}

func TestStopsWhereRowsAreLost(t *testing.T) {
	f := startFake(t)
	table := f.table(t)
	refusal := func(t *testing.T, o *owner, text string) {
		t.Helper()
		for range 2 { // the second write finds the lane stopped
			for _, err := range o.write(7, 8).wait() {
				if !errors.Is(err, stage.ErrRefused) || stage.IsPermanent(err) || !strings.Contains(err.Error(), text) {
					t.Fatalf("got %v, want stage.ErrRefused and %q", err, text)
				}
			}
		}
	}
	t.Run("out of range", func(t *testing.T) {
		o := own(t, table, "").commits()
		o.write(0, 1, 2).written()
		f.mu.Lock()
		for _, s := range f.streams {
			s.rows--
		}
		f.mu.Unlock()
		refusal(t, o, "at 3")
	})
	t.Run("another writer", func(t *testing.T) {
		o := own(t, table, "").commits()
		o.write(3).written()
		f.mu.Lock()
		for _, s := range f.streams {
			s.rows += 2
		}
		f.mu.Unlock()
		refusal(t, o, "at 1")
	})
	const stream = fakePath + "/streams/mine"
	for _, c := range []struct {
		name, note string
		rows       int64 // of the stream; -1: it is gone
		want       string
	}{
		{"gone", "millrace-rows1 " + stream + " 5 2 - Bwc", -1, "set the group's offsets"},
		{"too short", "millrace-rows1 " + stream + " 5 2 - Bwc", 4, "4 rows, where 5 were written and 2"},
		{"half", "millrace-rows1 " + stream + " 5 2 - Bwc", 6, "6 rows"},
		{"too long", "millrace-rows1 " + stream + " 5 2 - Bwc", 8, "8 rows"},
		{"cut off", "millrace-rows1 " + stream + " 5 2 -", 5, "can't be read"},
		{"damaged", "millrace-rows1 " + stream + " 5 2 - B", 5, "can't be read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f.mu.Lock()
			if delete(f.streams, stream); c.rows >= 0 {
				f.streams[stream] = &fakeStream{rows: c.rows}
			}
			f.mu.Unlock()
			refusal(t, own(t, table, c.note).commits(), c.want)
		})
	}
	// Of which nothing was to come, it does not matter.
	own(t, table, "millrace-rows1 "+fakePath+"/streams/old 5 0 - -").commits().write(20).written()
	own(t, table, "of another program").commits().write(21).written()
	f.once(t, 0, 1, 2, 3, 20, 21)
}

// TestScatteredRecords: what is noted stays small, whatever the order that
// records are written in and committed.
func TestScatteredRecords(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	f := startFake(t)
	o := own(t, f.table(t), "").commits()
	var all []int
	for i, n := range rng.Perm(12_000) {
		if i%3 != 0 {
			all = append(all, n)
		}
	}
	const part = 4000
	for i := 0; i < len(all); i += part {
		a := o.write(all[i : i+part]...)
		select {
		case <-a.all:
			t.Fatal("thousands of scattered records were noted at once")
		case <-time.After(300 * time.Millisecond): // the note is full
		}
		o.mu.Lock()
		o.low = 1 << 40 // as if all of them were done
		o.mu.Unlock()
		stop := make(chan struct{})
		go func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(10 * time.Millisecond): // as often as CommitInterval
					o.commit()
				}
			}
		}()
		a.written()
		close(stop)
		o.mu.Lock()
		o.low = 0
		o.mu.Unlock()
	}
	f.once(t, all...)
}

// errAway is what a service that is away says.
var errAway = status.Error(codes.Unavailable, "away")

// await waits until something is so.
func await(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	deadline := time.Now().Add(time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			tb.Fatalf("waited in vain: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
