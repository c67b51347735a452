package bigquery

import (
	"context"
	"fmt"
	"regexp"

	"cloud.google.com/go/bigquery"

	"github.com/millrace-go/millrace/similarity"
)

// IndexStatus is what BigQuery tells of a vector index.
type IndexStatus struct {
	Name   string
	Column string
	// State is ACTIVE, PENDING DISABLEMENT, TEMPORARILY DISABLED or PERMANENTLY
	// DISABLED; Reason why it is disabled.
	State, Reason string
	// Coverage is the part of the rows that is in it, in percent: 0 for some time
	// after it was made, and while the table is too small.
	Coverage int64
	// Unindexed is how many rows are not.
	Unindexed int64
	DDL       string
}

// Indexes tells of the table's vector indexes, by name. The question costs what
// the least query does, 10 MiB.
func (t Table) Indexes(ctx context.Context) ([]IndexStatus, error) {
	t, err := t.withDefaults()
	if err != nil {
		return nil, err
	}
	all, err := t.indexes(ctx)
	if err != nil {
		return nil, fmt.Errorf("bigquery: the indexes of %v: %w", t, explain(err))
	}
	return all, nil
}

func (t Table) indexes(ctx context.Context) ([]IndexStatus, error) {
	var all []IndexStatus
	err := t.read(ctx, "\nSELECT index_name AS name, index_status AS state, IFNULL(disable_reason, '') AS reason,\n"+
		"  IFNULL(coverage_percentage, 0) AS coverage, IFNULL(unindexed_row_count, 0) AS unindexed, ddl\n"+
		"FROM `"+t.Project+"."+t.Dataset+"`.INFORMATION_SCHEMA.VECTOR_INDEXES WHERE table_name = @table ORDER BY name",
		[]bigquery.QueryParameter{{Name: "table", Value: t.Name}},
		func(rows *bigquery.RowIterator) error {
			var row struct {
				Name      string `bigquery:"name"`
				State     string `bigquery:"state"`
				Reason    string `bigquery:"reason"`
				Coverage  int64  `bigquery:"coverage"`
				Unindexed int64  `bigquery:"unindexed"`
				DDL       string `bigquery:"ddl"`
			}
			if err := rows.Next(&row); err != nil {
				return err
			}
			status := IndexStatus{Name: row.Name, State: row.State, Reason: row.Reason, Coverage: row.Coverage, Unindexed: row.Unindexed, DDL: row.DDL}
			if column := indexedColumn.FindStringSubmatch(row.DDL); column != nil {
				status.Column = column[1]
			}
			all = append(all, status)
			return nil
		})
	return all, err
}

// indexedColumn finds an index's column in the statement that made it.
var indexedColumn = regexp.MustCompile("(?i)\\sON\\s+[^(]+\\(\\s*`?([A-Za-z0-9_]+)`?\\s*\\)")

// metricName is BigQuery's.
func metricName(m similarity.Metric) string {
	if m == similarity.Cosine {
		return "COSINE"
	}
	return "EUCLIDEAN"
}
