package bigquery

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"

	"github.com/millrace-go/millrace/stage"
)

// AppendOnce is a sink whose rows are in the table exactly once, whatever dies
// in between: each partition's rows go to a committed stream of its own, by the
// Storage Write API. Source must be source.Kafka, Delivery stage.AtLeastOnce
// (the zero value), and there may be one AppendOnce in a stage.
//
// What is about to be written is noted in the metadata of the partition's
// commits: the stream, the place in it, and the offsets of the records. Only
// when that is committed it is written, in one request, which is done whole or
// not at all. Whoever gets the partition next finalises the stream, so that
// nobody writes to it any more, and sees by its length whether what was noted is
// there. So a row's place is never worked out from a Kafka offset, and it does
// not matter if a record is skipped, fails, or makes another number of rows the
// next time.
//
// A row takes a commit and a request to get there, one after the other; what
// comes meanwhile goes together. There are so many rows on their way at the
// most as the stage's MaxInFlight. Records are done at least once as ever: what
// a transform does besides, and other sinks of a sink.Tee, may see one twice.
//
// T is a struct, or a pointer to one, by the rules of bigquery.InferSchema.
// Rows of one record go together, and so must not have more than 8 MB. A row
// that the table refuses makes a dead letter of its record; the others of its
// request are written. A stream that was cut off behind the stage's back stops
// the stage, and so does one that is gone, with rows of which nobody can tell
// any more whether they are in the table.
func AppendOnce[T any](t Table) stage.Sink[T] {
	rows, wrong := storageRows[T]()
	return stage.Sink[T]{
		Targets: []stage.Target{target(
			func(ctx context.Context) error { return errors.Join(wrong, t.checkStorage(ctx)) },
			func(ctx context.Context, env stage.Env) (stage.Writer, error) {
				t, err := t.forStorage()
				if err := errors.Join(wrong, err); err != nil {
					return nil, err
				}
				w := &onceWriter{table: t, rows: rows, log: env.Logger}
				w.ctx, w.cancel = context.WithCancel(context.WithoutCancel(ctx))
				return w, nil
			})},
		Encode: encodeProto[T](rows, wrong),
	}
}

// onceWriter gives each lane a writer of its own.
type onceWriter struct {
	table  Table
	rows   *protoRows
	log    *slog.Logger
	ctx    context.Context //nolint:containedctx // of the lanes' goroutines, which begin in OpenLane
	cancel context.CancelFunc
	lanes  sync.WaitGroup
}

// OpenLane begins a lane.
func (w *onceWriter) OpenLane(l stage.Lane, last string, commit func()) stage.LaneWriter {
	topic, partition := l.ID()
	log := w.log.With("topic", topic, "partition", partition)
	if last != "" && !strings.HasPrefix(last, notePrefix) {
		log.Warn("what another program has committed for the partition says nothing of rows, so that all its records are taken for new", "metadata", last)
		last = ""
	}
	o := &laneWriter{
		table: w.table, commit: commit, last: last, log: log,
		conn:    appender{client: w.table.Storage, schema: w.rows.writer, timeout: w.table.Timeout},
		news:    make(chan struct{}, 1),
		written: make(offsets),
	}
	ctx, end := context.WithCancel(w.ctx)
	o.end = end
	w.lanes.Go(func() {
		defer end()
		o.run(ctx)
	})
	return o
}

// Write is not called: all that a stage writes is of a lane.
func (w *onceWriter) Write(recs []stage.Raw, done func(i int, err error)) {
	for i := range recs {
		done(i, errors.New("bigquery: a row that is of no partition"))
	}
}

// Close waits for the lanes, which have ended.
func (w *onceWriter) Close(ctx context.Context) error {
	stop := context.AfterFunc(ctx, w.cancel)
	defer stop()
	w.lanes.Wait()
	w.cancel()
	return nil
}
