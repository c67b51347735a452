package bigquery

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// begin settles what the last owner of the lane has noted.
func (l *laneWriter) begin(ctx context.Context) error {
	n, err := parseNote(l.last)
	if err != nil {
		return fmt.Errorf("what is committed for the partition can't be read, so that nobody knows which rows are written: %w: %q", err, l.last)
	}
	there := false
	if n.stream != "" {
		if there, err = l.settle(ctx, n); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if n.written != nil {
		l.written = n.written
	}
	if there {
		l.add(n.next)
	}
	l.settled = true
	if k := len(l.written); k > 0 {
		l.log.Info("rows that an earlier run has written are not written again", "records", k)
	}
	return nil
}

// add notes records as written. The caller holds mu.
func (l *laneWriter) add(o offsets) {
	for at := range o {
		l.written[at] = struct{}{}
	}
}

// settle finalises a stream, so that nothing more comes to it, and reports
// whether what was noted has.
func (l *laneWriter) settle(ctx context.Context, n note) (there bool, err error) {
	var rows int64
	err = l.insist(ctx, "finalising", func(ctx context.Context) error {
		resp, err := l.table.Storage.FinalizeWriteStream(ctx, &storagepb.FinalizeWriteStreamRequest{Name: n.stream}, onlyOnce())
		rows = resp.GetRowCount()
		return err
	})
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case status.Code(err) == codes.NotFound && n.rows == 0:
		return false, nil // it is long ago
	case err != nil:
		return false, fmt.Errorf("stream %s can't be finalised, so that nobody knows whether %d rows are written that were about to be; when you have looked for them in the table, set the group's offsets to where it is to go on, without metadata: %w", n.stream, n.rows, err)
	case n.rows > 0 && rows == n.at+n.rows:
		return true, nil
	case rows == n.at:
		return false, nil
	}
	return false, fmt.Errorf("stream %s has %d rows, where %d were written and %d were about to be: another program writes to it, or rows are lost", n.stream, rows, n.at, n.rows)
}

// open makes a stream for the lane.
func (l *laneWriter) open(ctx context.Context) error {
	var stream *storagepb.WriteStream
	err := l.insist(ctx, "creating", func(ctx context.Context) (err error) {
		stream, err = l.table.Storage.CreateWriteStream(ctx, &storagepb.CreateWriteStreamRequest{
			Parent: l.table.path(), WriteStream: &storagepb.WriteStream{Type: storagepb.WriteStream_COMMITTED},
		}, onlyOnce())
		return err
	})
	if err != nil {
		return fmt.Errorf("a stream can't be created: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stream, l.at = stream.GetName(), 0
	l.conn.close()
	l.conn.stream = l.stream
	return nil
}

// replace goes on without a stream that somebody has finalised: who has the
// partition by now, or BigQuery, if it was idle for long.
func (l *laneWriter) replace(ctx context.Context, p *plan, reason error) error {
	l.log.Warn("the stream was finalised; another one is opened", "table", l.table.String(), "stream", l.stream, "err", reason)
	l.mu.Lock()
	n := l.note(p)
	l.mu.Unlock()
	there, err := l.settle(ctx, n)
	if err != nil {
		return err
	}
	if there {
		l.appended(p)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stream, l.at = "", 0
	if !there {
		l.next = nil
		l.waiting = slices.Concat(p.records, l.waiting)
	}
	return nil
}

// insist tries a request until it is answered, each time within the table's
// Timeout.
func (l *laneWriter) insist(ctx context.Context, what string, ask func(context.Context) error) error {
	for failures := 1; ; failures++ {
		limited, cancel := context.WithTimeout(ctx, l.table.Timeout)
		err := ask(limited)
		cancel()
		if err == nil || refused(err) {
			return err
		}
		l.log.Warn(what+" a stream failed and is tried again", "table", l.table.String(), "attempts", failures, "err", err)
		if err := l.pause(ctx, failures); err != nil {
			return err
		}
	}
}

// pause waits after so many failures: 100 ms, and then twice as long each time
// up to 10 s, less a random fifth.
func (l *laneWriter) pause(ctx context.Context, failures int) error {
	d := min(100*time.Millisecond<<min(failures-1, 10), 10*time.Second)
	d -= time.Duration(rand.Float64() * 0.2 * float64(d))
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
