package bigquery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/millrace-go/millrace/stage"
)

// laneWriter writes one lane's rows to a stream of their own. One goroutine
// does all that waits: it settles what the lane's last owner has left, and then
// again and again takes what has come, has it noted, and appends it.
type laneWriter struct {
	table  Table
	log    *slog.Logger
	commit func()
	conn   appender
	end    context.CancelFunc
	news   chan struct{} // rows, a note that is committed

	mu      sync.Mutex
	last    string // the note, as long as it is not settled
	settled bool
	waiting []record
	written offsets // which no commit says are done
	stream  string  // "": none is open
	at      int64   // its length
	next    *plan   // to be appended
	offered *plan   // it is in the note that was given last
	over    bool
	err     error // why nothing can be written
}

var errLaneOver = errors.New("bigquery: the partition was taken away, or the stage has stopped, before the row was written")

// Write queues rows, those of one record together.
func (l *laneWriter) Write(recs []stage.Raw, done func(i int, err error)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := 0; i < len(recs); {
		r := record{offset: recs[i].Offset, raw: recs[i]}
		for first := recs[i]; i < len(recs) && sameRecord(recs[i], first); i++ {
			at := i
			r.rows = append(r.rows, recs[i].Value)
			r.size += len(recs[i].Value)
			r.done = append(r.done, func(err error) { done(at, err) })
		}
		switch {
		case l.err != nil:
			r.answer(l.err)
		case l.over:
			r.answer(errLaneOver)
		case r.size > appendBytes:
			r.answer(rowError(r.raw, fmt.Sprintf("the rows of one record have %d bytes; the most is %d", r.size, appendBytes)))
		default:
			l.waiting = append(l.waiting, r)
		}
	}
	l.wake()
}

func (l *laneWriter) wake() {
	select {
	case l.news <- struct{}{}:
	default:
	}
}

// Note says what is in the table and not yet committed, and what comes next.
func (l *laneWriter) Note(done func(offset int64) bool) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.settled {
		return l.last
	}
	for at := range l.written {
		if done(at) {
			delete(l.written, at)
		}
	}
	l.offered = l.next
	if l.over && l.next != nil && !l.next.noted {
		l.offered = nil // it will not be appended any more
	}
	return l.note(l.offered).String()
}

// note is the note with p to be appended. The caller holds mu.
func (l *laneWriter) note(p *plan) note {
	n := note{stream: l.stream, at: l.at, written: l.written}
	if p != nil {
		n.rows, n.next = int64(len(p.rows)), p.offsets
	}
	return n
}

// Noted lets what was noted be appended.
func (l *laneWriter) Noted() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next != nil && l.offered == l.next {
		l.next.noted = true
		l.wake()
	}
}

// End gives up on what is not appended yet.
func (l *laneWriter) End() {
	l.mu.Lock()
	l.over = true
	l.mu.Unlock()
	l.end()
}

// run writes until the lane ends, or nothing can be written any more.
func (l *laneWriter) run(ctx context.Context) {
	defer l.conn.close()
	err := l.begin(ctx)
	for failures := 0; err == nil; {
		var p *plan
		if p, err = l.plan(ctx); err != nil {
			break
		}
		if err = l.await(ctx, func() bool { return p.noted }); err != nil {
			break
		}
		var again bool
		if again, err = l.append(ctx, p); again { // by another stream
			failures++
			err = errors.Join(err, l.pause(ctx, failures))
		} else {
			failures = 0
		}
	}
	l.giveUp(ctx, err)
}

// giveUp fails what waits, and what comes from now on.
func (l *laneWriter) giveUp(ctx context.Context, err error) {
	if ctx.Err() != nil {
		err = errLaneOver
	} else {
		err = fmt.Errorf("bigquery: table %v: %w: %w", l.table, stage.ErrRefused, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
	if l.next != nil {
		l.waiting = slices.Concat(l.next.records, l.waiting)
	}
	for _, r := range l.waiting {
		r.answer(err)
	}
	l.waiting = nil // next stays in the note, if it is noted: it may have taken effect
}

// plan waits for rows, and takes as many as go into one request.
func (l *laneWriter) plan(ctx context.Context) (*plan, error) {
	for {
		if err := l.await(ctx, func() bool { return len(l.waiting) > 0 }); err != nil {
			return nil, err
		}
		if l.stream == "" {
			if err := l.open(ctx); err != nil {
				return nil, err
			}
		}
		p, full := l.take()
		if p != nil {
			l.commit()
			return p, nil
		}
		if full { // until more is committed
			if err := l.pause(ctx, 1); err != nil {
				return nil, err
			}
		}
	}
}

// take makes a plan of what waits; nil if all of it is written, or if the note
// has no room for one.
func (l *laneWriter) take() (p *plan, full bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var records []record
	size := 0
	for len(l.waiting) > 0 && len(records) < appendRows {
		r := l.waiting[0]
		_, there := l.written[r.offset]
		if !there && len(records) > 0 && size+r.size > appendBytes {
			break
		}
		l.waiting = l.waiting[1:]
		if there {
			r.answer(nil)
			continue
		}
		records = append(records, r)
		size += r.size
	}
	for n := len(records); n > 0; n /= 2 {
		if p := newPlan(records[:n]); l.note(p).fits() {
			l.waiting = slices.Concat(records[n:], l.waiting)
			l.next = p
			return p, false
		}
	}
	l.waiting = slices.Concat(records, l.waiting)
	return nil, len(records) > 0
}

// await waits until ready, which is asked with mu held.
func (l *laneWriter) await(ctx context.Context, ready func() bool) error {
	for {
		l.mu.Lock()
		ok := ready()
		l.mu.Unlock()
		if ok {
			return ctx.Err()
		}
		select {
		case <-l.news:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// append appends a plan that is noted. again says that its stream is over, and
// its rows wait to be noted again.
func (l *laneWriter) append(ctx context.Context, p *plan) (again bool, err error) {
	for failures := 1; ; failures++ {
		err := l.conn.append(ctx, p.rows, l.at)
		bad, wrong := errors.AsType[rowErrors](err)
		code := storageCode(err)
		there := status.Code(err) == codes.AlreadyExists || code == storagepb.StorageError_OFFSET_ALREADY_EXISTS
		switch {
		case err == nil, there && failures > 1: // an answer was lost
			l.appended(p)
			return false, nil
		case wrong:
			return false, l.dropWrong(p, bad)
		case ctx.Err() != nil:
			return false, ctx.Err()
		case code == storagepb.StorageError_STREAM_FINALIZED, status.Code(err) == codes.FailedPrecondition:
			return true, l.replace(ctx, p, err)
		case refused(err):
			return false, fmt.Errorf("appending %d rows to stream %s at %d: %w", len(p.rows), l.stream, l.at, err)
		}
		l.log.Warn("rows were not appended, or the answer was lost; the same is tried again", "table", l.table.String(), "attempts", failures, "err", err)
		if err := l.pause(ctx, failures); err != nil {
			return false, err
		}
	}
}

// appended notes that a plan is in the table.
func (l *laneWriter) appended(p *plan) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at += int64(len(p.rows))
	l.add(p.offsets)
	l.next = nil
	for _, r := range p.records {
		r.answer(nil)
	}
}

// dropWrong refuses records for good, because of which nothing was appended.
// The others wait for another plan.
func (l *laneWriter) dropWrong(p *plan, bad rowErrors) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	wrong := make(map[int]string)
	for _, e := range bad {
		if i := int(e.GetIndex()); i >= 0 && i < len(p.of) {
			wrong[p.of[i]] = e.GetMessage()
		}
	}
	if len(wrong) == 0 {
		return fmt.Errorf("of %d rows others are refused: %w", len(p.rows), bad)
	}
	l.next = nil
	var good []record
	for i, r := range p.records {
		if text, ok := wrong[i]; ok {
			r.answer(rowError(r.raw, text))
		} else {
			good = append(good, r)
		}
	}
	l.waiting = slices.Concat(good, l.waiting)
	return nil
}
