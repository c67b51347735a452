package bigquery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/millrace-go/millrace/stage"
)

// A request of the Storage Write API may have 10 MB.
const (
	appendRows  = 10_000
	appendBytes = 8 << 20
)

// Append is a sink whose rows go to the table's default stream by the Storage
// Write API: they are there at once, at least once each. What was written by a
// request without an answer is written again; see [AppendOnce].
//
// T is a struct, or a pointer to one, by the rules of bigquery.InferSchema.
// A row that the table refuses fails for good, and so is a dead letter; the
// others of its request are written.
func Append[T any](t Table) stage.Sink[T] {
	rows, wrong := storageRows[T]()
	return stage.Sink[T]{
		Targets: []stage.Target{target(
			func(ctx context.Context) error { return errors.Join(wrong, t.checkStorage(ctx)) },
			func(ctx context.Context, _ stage.Env) (stage.Writer, error) {
				t, err := t.forStorage()
				if err := errors.Join(wrong, err); err != nil {
					return nil, err
				}
				return newDefaultWriter(ctx, t, rows), nil
			})},
		Encode: encodeProto[T](rows, wrong),
	}
}

// storageRows makes the rows of a type for the Storage Write API.
func storageRows[T any]() (*protoRows, error) {
	schema, err := schemaOf[T]()
	if err != nil {
		return nil, err
	}
	return newProtoRows(schema)
}

func encodeProto[T any](rows *protoRows, wrong error) func(T, *stage.Raw, func(int, stage.Raw)) error {
	return func(v T, in *stage.Raw, emit func(int, stage.Raw)) error {
		if wrong != nil {
			return wrong
		}
		b, err := rows.encode(v)
		if err != nil {
			return err
		}
		emit(0, rowOf(in, b))
		return nil
	}
}

// rowOf is a row and, for who writes it, which record it was made from.
func rowOf(in *stage.Raw, value []byte) stage.Raw {
	return stage.Raw{Value: value, Topic: in.Topic, Partition: in.Partition, Offset: in.Offset}
}

// defaultWriter writes to a table's default stream.
type defaultWriter struct {
	*batcher
	table Table
	conn  appender
}

func newDefaultWriter(ctx context.Context, t Table, rows *protoRows) *defaultWriter {
	w := &defaultWriter{table: t, conn: appender{
		client: t.Storage, stream: t.path() + "/streams/_default", schema: rows.writer, timeout: t.Timeout,
	}}
	w.batcher = (&batcher{
		rows: appendRows, bytes: appendBytes, send: w.send,
		linger: cmp.Or(t.Linger, 10*time.Millisecond),
	}).start(ctx)
	return w
}

// Close ends the connection when all is written.
func (w *defaultWriter) Close(ctx context.Context) error {
	err := w.batcher.Close(ctx)
	w.conn.close()
	return err
}

// send writes a batch. Rows that are wrong are taken out, and the others sent
// again.
func (w *defaultWriter) send(ctx context.Context, batch []row) {
	for len(batch) > 0 {
		err := w.conn.append(ctx, valuesOf(batch), atEnd)
		if bad, ok := errors.AsType[rowErrors](err); ok {
			if good := without(batch, bad); len(good) < len(batch) {
				batch = good
				continue
			}
		}
		if err != nil {
			err = requestError("appending to", w.table, err)
		}
		for _, r := range batch {
			r.done(err)
		}
		return
	}
}

func valuesOf(batch []row) [][]byte {
	values := make([][]byte, len(batch))
	for i, r := range batch {
		values[i] = r.Value
	}
	return values
}

// without refuses rows for good, and gives the others.
func without(batch []row, bad rowErrors) (good []row) {
	wrong := make(map[int]string)
	for _, e := range bad {
		wrong[int(e.GetIndex())] = e.GetMessage()
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

// rowError is why a row was refused, and whose.
func rowError(r stage.Raw, text string) error {
	return stage.Permanent(fmt.Errorf("bigquery: the table refuses the row of %s/%d@%d: %s", r.Topic, r.Partition, r.Offset, text))
}
