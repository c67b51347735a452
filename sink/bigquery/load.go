package bigquery

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/millrace-go/millrace/stage"
)

// A load job's rows are held in memory.
const (
	loadRows  = 1 << 20
	loadBytes = 32 << 20
)

// Load is a sink whose rows go to the table by load jobs, as lines of JSON:
// the way to fill a table, which costs nothing and takes seconds a job. The
// rows of a job are there all at once, at least once each. A job has all rows
// that have come within Linger of its first one, 32 MB at the most, and so no
// more than the stage's MaxInFlight: raise that, and MaxInFlightBytes.
//
// progress, if not nil, is called by one goroutine after each job with the
// number of rows that are loaded since the stage began.
//
// T is a struct, or a pointer to one, by the rules of bigquery.InferSchema. A
// row that the table refuses fails for good, and so is a dead letter; to find
// it takes some more jobs, by which the others are loaded.
func Load[T any](t Table, progress func(rows int)) stage.Sink[T] {
	schema, wrong := schemaOf[T]()
	return stage.Sink[T]{
		Targets: []stage.Target{target(
			func(ctx context.Context) error { return errors.Join(wrong, t.checkJobs(ctx)) },
			func(ctx context.Context, _ stage.Env) (stage.Writer, error) {
				t, err := t.forJobs()
				if err := errors.Join(wrong, err); err != nil {
					return nil, err
				}
				w := &loadWriter{table: t, progress: progress}
				w.batcher = (&batcher{
					rows: loadRows, bytes: loadBytes, send: w.send,
					linger: cmp.Or(t.Linger, time.Second),
				}).start(ctx)
				return w, nil
			})},
		Encode: encodeJSON[T](schema, wrong),
	}
}

// loadWriter writes by load jobs.
type loadWriter struct {
	*batcher
	table    Table
	progress func(int)
	loaded   int
}

// send loads a batch. If a row of it is wrong, none is loaded, and each half
// is tried by itself.
func (w *loadWriter) send(ctx context.Context, batch []row) {
	err := w.load(ctx, batch)
	if bad, ok := errors.AsType[*bigquery.Error](err); ok && bad.Reason == "invalid" {
		if len(batch) > 1 {
			w.send(ctx, batch[:len(batch)/2])
			w.send(ctx, batch[len(batch)/2:])
			return
		}
		batch[0].done(rowError(batch[0].Raw, bad.Message))
		return
	}
	if err != nil {
		err = requestError("loading rows into", w.table, err)
	}
	for _, r := range batch {
		r.done(err)
	}
	if err == nil {
		if w.loaded += len(batch); w.progress != nil {
			w.progress(w.loaded)
		}
	}
}

// load runs one job to its end.
func (w *loadWriter) load(ctx context.Context, batch []row) error {
	ctx, cancel := context.WithTimeout(ctx, 10*w.table.Timeout)
	defer cancel()
	var lines bytes.Buffer
	for _, r := range batch {
		lines.Write(r.Value)
		lines.WriteByte('\n')
	}
	source := bigquery.NewReaderSource(&lines)
	source.SourceFormat = bigquery.JSON
	loader := w.table.handle().LoaderFrom(source)
	loader.CreateDisposition = bigquery.CreateNever
	loader.WriteDisposition = bigquery.WriteAppend
	job, err := loader.Run(ctx)
	if err != nil {
		return fmt.Errorf("starting a load job: %w", err)
	}
	status, err := job.Wait(ctx)
	if err != nil {
		return fmt.Errorf("waiting for load job %s: %w", job.ID(), err)
	}
	return status.Err()
}
