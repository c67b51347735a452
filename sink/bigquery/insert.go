package bigquery

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/millrace-go/millrace/stage"
)

// A request of insertAll may have 50,000 rows and 10 MB; Google recommends far
// fewer rows.
const (
	insertRows  = 2_000
	insertBytes = 4 << 20
)

// Insert is a sink whose rows go to the table by tabledata.insertAll (which
// Google calls the Storage Write API's REST form by now). Each row has an
// insert id that is made of the stage's name and of the topic, partition and
// offset of its record: a row that is written again within a minute is there
// once, most of the time. [AppendOnce] promises more, and [Append] costs less.
//
// T is a struct, or a pointer to one, by the rules of bigquery.InferSchema.
// A row that the table refuses fails for good, and so is a dead letter; the
// others of its request are written.
func Insert[T any](t Table) stage.Sink[T] {
	schema, wrong := schemaOf[T]()
	return stage.Sink[T]{
		Targets: []stage.Target{target(
			func(ctx context.Context) error { return errors.Join(wrong, t.checkJobs(ctx)) },
			func(ctx context.Context, env stage.Env) (stage.Writer, error) {
				t, err := t.forJobs()
				if err := errors.Join(wrong, err); err != nil {
					return nil, err
				}
				w := &insertWriter{table: t, stage: env.Stage}
				w.batcher = (&batcher{
					rows: insertRows, bytes: insertBytes, send: w.send,
					linger: cmp.Or(t.Linger, 10*time.Millisecond),
				}).start(ctx)
				return w, nil
			})},
		Encode: encodeJSON[T](schema, wrong),
	}
}

func encodeJSON[T any](schema bigquery.Schema, wrong error) func(T, *stage.Raw, func(int, stage.Raw)) error {
	return func(v T, in *stage.Raw, emit func(int, stage.Raw)) error {
		if wrong != nil {
			return wrong
		}
		b, err := jsonRow(v, schema)
		if err != nil {
			return err
		}
		emit(0, rowOf(in, b))
		return nil
	}
}

// insertWriter writes by insertAll.
type insertWriter struct {
	*batcher
	table Table
	stage string
}

// send writes a batch. Rows that are wrong are taken out, and the others sent
// again: nothing is written of a request with one that is.
func (w *insertWriter) send(ctx context.Context, batch []row) {
	for len(batch) > 0 {
		err := w.put(ctx, batch)
		if bad, ok := errors.AsType[bigquery.PutMultiError](err); ok {
			if good := withoutBad(batch, bad); len(good) < len(batch) {
				batch = good
				continue
			}
		}
		if tooLarge(err) {
			if len(batch) > 1 {
				w.send(ctx, batch[:len(batch)/2])
				batch = batch[len(batch)/2:]
				continue
			}
			batch[0].done(rowError(batch[0].Raw, err.Error()))
			return
		}
		if err != nil {
			err = requestError("inserting into", w.table, err)
		}
		for _, r := range batch {
			r.done(err)
		}
		return
	}
}

func (w *insertWriter) put(ctx context.Context, batch []row) error {
	ctx, cancel := context.WithTimeout(ctx, w.table.Timeout)
	defer cancel()
	rows := make([]bigquery.ValueSaver, len(batch))
	for i, r := range batch {
		rows[i] = savedRow{r.Value, insertID(w.stage, r)}
	}
	return w.table.handle().Inserter().Put(ctx, rows)
}

// insertID names a row: 128 characters at the most.
func insertID(stage string, r row) string {
	where := sha256.Sum256([]byte(stage + "\x00" + r.Topic))
	return fmt.Sprintf("%x-%d-%d-%d", where[:16], r.Partition, r.Offset, r.nth)
}

// withoutBad refuses rows for good, and gives the others. Rows that are
// "stopped" were left out for the sake of those.
func withoutBad(batch []row, bad bigquery.PutMultiError) (good []row) {
	wrong := make(map[int]string)
	for _, e := range bad {
		for _, err := range e.Errors {
			if b, ok := errors.AsType[*bigquery.Error](err); !ok || b.Reason != "stopped" {
				wrong[e.RowIndex] = err.Error()
			}
		}
	}
	for i, r := range batch {
		if text, ok := wrong[i]; ok {
			r.done(rowError(r.Raw, text))
			continue
		}
		good = append(good, r)
	}
	return good
}

// savedRow is a row of JSON for BigQuery's client.
type savedRow struct {
	json []byte
	id   string
}

func (r savedRow) Save() (map[string]bigquery.Value, string, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(r.json, &fields); err != nil {
		return nil, "", err
	}
	row := make(map[string]bigquery.Value, len(fields))
	for name, v := range fields {
		row[name] = v
	}
	return row, r.id, nil
}
