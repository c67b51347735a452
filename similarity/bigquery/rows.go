package bigquery

import (
	"time"

	"github.com/millrace-go/millrace/similarity"
	"github.com/millrace-go/millrace/similarity/vector"
)

// EmbeddingRow is a row of a [Table] with the default columns: what a sink of
// package sink/bigquery writes beside a topic of vectors, so that they can be
// searched, and looked up by the id of their sentence.
//
//	sink.Tee(sink.Kafka(cluster, vectors), sink.As(rows.AppendOnce[bigquery.EmbeddingRow](t), bigquery.NewEmbeddingRow))
type EmbeddingRow struct {
	ID     string    `bigquery:"id"`
	Space  string    `bigquery:"space"`
	Vector []float64 `bigquery:"vector"` // the float32s, exactly
}

// NewEmbeddingRow is the row of an item.
func NewEmbeddingRow(it similarity.Item) EmbeddingRow {
	values := make([]float64, len(it.Vector.Values))
	for i, x := range it.Vector.Values {
		values[i] = float64(x)
	}
	return EmbeddingRow{it.ID, it.Vector.Space, values}
}

// Item is what the row was made of.
func (r EmbeddingRow) Item() similarity.Item {
	values := make([]float32, len(r.Vector))
	for i, x := range r.Vector {
		values[i] = float32(x)
	}
	return similarity.Item{ID: r.ID, Vector: vector.Vector{Space: r.Space, Values: values}}
}

// ResultRow is one answered request: what a sink of package sink/bigquery
// writes beside a topic of answers. It is looked up by the id of the request,
// since two may ask the same.
type ResultRow struct {
	RequestID  string    `bigquery:"request_id"`
	AnsweredAt time.Time `bigquery:"answered_at"`
	Hits       []HitRow  `bigquery:"hits"` // the nearest first
}

// HitRow is one of the nearest of a [ResultRow].
type HitRow struct {
	ID       string  `bigquery:"id"`
	Distance float64 `bigquery:"distance"`
}

// NewResultRow is the row of a request's answer.
func NewResultRow(requestID string, at time.Time, hits []similarity.Hit) ResultRow {
	rows := make([]HitRow, len(hits))
	for i, h := range hits {
		rows[i] = HitRow{h.ID, h.Distance}
	}
	return ResultRow{requestID, at, rows}
}
