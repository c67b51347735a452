package bigquery

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"cloud.google.com/go/bigquery"
	"google.golang.org/api/googleapi"

	"github.com/millrace-go/millrace/similarity"
	"github.com/millrace-go/millrace/similarity/vector"
)

const (
	// partBytes is the size of a load job: a few dozen for a large collection
	// (BigQuery allows 1,500 a table and day), and held in memory.
	partBytes   = 32 << 20
	partTimeout = 10 * time.Minute
)

// Load sees to it that the table has a row for each item: it creates data set
// and table if they are missing, asks which ids of the items' space are there,
// and loads the others by load jobs of 32 MB. So it does nothing the second
// time, and goes on where it was interrupted. It does not compare the vectors
// of ids that are there (a space and an id are to determine the vector), and
// leaves rows of other ids alone. One Load of a table at a time: two could
// both load the same rows.
//
// The items are of one space and dimension; of two with the same id the later
// one counts. progress, if not nil, is called with the number of rows that are
// there and that are wanted, at the start and after each job.
func (t Table) Load(ctx context.Context, items []similarity.Item, progress func(done, total int)) error {
	t, err := t.withDefaults()
	if err != nil {
		return err
	}
	if progress == nil {
		progress = func(int, int) {}
	}
	wanted := make(map[string]int, len(items)) // where each id's last item is
	for i, it := range items {
		first := items[0].Vector
		// Cosine's own demand is not made here: the table serves any metric.
		if err := it.CheckIn(similarity.Euclidean, first.Space, len(first.Values)); err != nil {
			return fmt.Errorf("bigquery: item %d: %w", i, err)
		}
		wanted[it.ID] = i
	}
	if err := t.create(ctx); err != nil {
		return fmt.Errorf("bigquery: creating %v: %w", t, err)
	}
	if len(items) == 0 {
		return nil
	}
	total := len(wanted)
	if err := t.removePresent(ctx, items[0].Vector, wanted); err != nil {
		return fmt.Errorf("bigquery: looking at %v: %w", t, err)
	}
	present := total - len(wanted)
	progress(present, total)

	var part bytes.Buffer
	rows := 0
	send := func() error {
		if rows == 0 {
			return nil
		}
		if err := t.loadPart(ctx, part.Bytes()); err != nil {
			return fmt.Errorf("bigquery: loading %d rows into %v: %w", rows, t, err)
		}
		present += rows
		progress(present, total)
		part.Reset()
		rows = 0
		return nil
	}
	for i, it := range items {
		if last, ok := wanted[it.ID]; !ok || last != i {
			continue
		}
		if err := t.appendRow(&part, it); err != nil {
			return err
		}
		rows++
		if part.Len() >= partBytes {
			if err := send(); err != nil {
				return err
			}
		}
	}
	return send()
}

// create makes data set and table where they are missing, and asks nothing of
// those that are there.
func (t Table) create(ctx context.Context) error {
	l := Layout{Table: t, ClusterBy: []string{t.SpaceColumn, t.IDColumn}}
	if err := l.createDataset(ctx); err != nil {
		return err
	}
	return l.createTable(ctx, t.schema())
}

func exists(err error) bool {
	e, ok := errors.AsType[*googleapi.Error](err)
	return ok && e.Code == http.StatusConflict
}

func (t Table) schema() bigquery.Schema {
	return bigquery.Schema{
		{Name: t.IDColumn, Type: bigquery.StringFieldType, Required: true},
		{Name: t.SpaceColumn, Type: bigquery.StringFieldType, Required: true},
		{Name: t.VectorColumn, Type: bigquery.FloatFieldType, Repeated: true},
	}
}

// removePresent deletes from wanted the ids that have a row in the space of
// like, whose dimension theirs must be.
func (t Table) removePresent(ctx context.Context, like vector.Vector, wanted map[string]int) error {
	return t.read(ctx, t.sql("SELECT {id} AS id, ARRAY_LENGTH({vector}) AS dim FROM {table} WHERE {space} = @space"),
		[]bigquery.QueryParameter{{Name: "space", Value: like.Space}},
		func(rows *bigquery.RowIterator) error {
			var row struct {
				ID  string `bigquery:"id"`
				Dim int64  `bigquery:"dim"`
			}
			if err := rows.Next(&row); err != nil {
				return err
			}
			if int(row.Dim) != len(like.Values) {
				return fmt.Errorf("row %q of space %q: %w", row.ID, like.Space, &vector.DimensionError{Got: int(row.Dim), Want: len(like.Values)})
			}
			delete(wanted, row.ID)
			return nil
		})
}

// appendRow writes an item as a line of JSON. The values go as the float64 that
// they are exactly, so that the table's distances are those of the float32s.
func (t Table) appendRow(b *bytes.Buffer, it similarity.Item) error {
	values := make([]float64, len(it.Vector.Values))
	for i, x := range it.Vector.Values {
		values[i] = float64(x)
	}
	err := json.NewEncoder(b).Encode(map[string]any{t.IDColumn: it.ID, t.SpaceColumn: it.Vector.Space, t.VectorColumn: values})
	if err != nil {
		return fmt.Errorf("bigquery: id %q: %w", it.ID, err)
	}
	return nil
}

// loadPart loads lines of JSON by a job of its own, and waits for its end.
func (t Table) loadPart(ctx context.Context, lines []byte) error {
	ctx, cancel := context.WithTimeout(ctx, partTimeout)
	defer cancel()
	source := bigquery.NewReaderSource(bytes.NewReader(lines))
	source.SourceFormat = bigquery.JSON
	source.Schema = t.schema()
	loader := t.Client.DatasetInProject(t.Project, t.Dataset).Table(t.Name).LoaderFrom(source)
	loader.CreateDisposition = bigquery.CreateNever
	loader.WriteDisposition = bigquery.WriteAppend
	job, err := loader.Run(ctx)
	if err != nil {
		return err
	}
	status, err := job.Wait(ctx)
	if err != nil {
		return err
	}
	return status.Err()
}
