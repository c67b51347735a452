package bigquery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/millrace-go/millrace/internal/bqname"
)

// DefaultTimeout bounds a call where [Table.Timeout] is 0.
const DefaultTimeout = 30 * time.Second

// Table says where vectors are kept: one row an item, with its id (STRING), its
// vector's space (STRING) and its values (ARRAY<FLOAT64>). Vectors of several
// spaces may share a table.
type Table struct {
	// Client talks to BigQuery. Required.
	Client *bigquery.Client
	// Project of the table; by default the client's.
	Project string
	// Dataset and Name of the table. Required.
	Dataset, Name string
	// The columns; by default "id", "space" and "vector".
	IDColumn, SpaceColumn, VectorColumn string
	// Timeout bounds each call, since BigQuery's client tries again for as long
	// as its context lives; 0 means [DefaultTimeout]. An earlier deadline of
	// the caller's holds. Parts of a load have a longer one of their own.
	Timeout time.Duration
}

// longest is a name of a data set, or of a table.
const longest = 1000

// withDefaults fills what is empty, and reports all that is wrong at once.
func (t Table) withDefaults() (Table, error) {
	if t.Client == nil {
		return t, errors.New("bigquery: Client: no client; make one with bigquery.NewClient of cloud.google.com/go/bigquery")
	}
	t.Project = cmp.Or(t.Project, t.Client.Project())
	t.IDColumn = cmp.Or(t.IDColumn, "id")
	t.SpaceColumn = cmp.Or(t.SpaceColumn, "space")
	t.VectorColumn = cmp.Or(t.VectorColumn, "vector")
	t.Timeout = cmp.Or(t.Timeout, DefaultTimeout)
	var errs []error
	for _, f := range []struct {
		field, value string
		grammar      *regexp.Regexp
	}{
		{"Project", t.Project, bqname.Project},
		{"Dataset", t.Dataset, bqname.Dataset(longest)},
		{"Name", t.Name, bqname.Table(longest)},
		{"IDColumn", t.IDColumn, bqname.Column},
		{"SpaceColumn", t.SpaceColumn, bqname.Column},
		{"VectorColumn", t.VectorColumn, bqname.Column},
	} {
		if !f.grammar.MatchString(f.value) {
			errs = append(errs, fmt.Errorf("bigquery: %s: %q does not match %v", f.field, f.value, f.grammar))
		}
	}
	if t.Timeout < 0 {
		errs = append(errs, fmt.Errorf("bigquery: Timeout: %v is negative", t.Timeout))
	}
	if id, space, vec := strings.ToLower(t.IDColumn), strings.ToLower(t.SpaceColumn), strings.ToLower(t.VectorColumn); id == space || id == vec || space == vec {
		errs = append(errs, fmt.Errorf("bigquery: columns %q, %q and %q must differ", t.IDColumn, t.SpaceColumn, t.VectorColumn))
	}
	return t, errors.Join(errs...)
}

// String is project.dataset.table.
func (t Table) String() string { return t.Project + "." + t.Dataset + "." + t.Name }

// sql fills the checked names into a query's text: {table}, {id}, {space} and
// {vector}, back-quoted.
func (t Table) sql(text string) string {
	return strings.NewReplacer(
		"{table}", "`"+t.String()+"`",
		"{id}", "`"+t.IDColumn+"`",
		"{space}", "`"+t.SpaceColumn+"`",
		"{vector}", "`"+t.VectorColumn+"`",
	).Replace(text)
}

// read runs a query within the timeout and gives each of its rows to row.
func (t Table) read(ctx context.Context, sql string, params []bigquery.QueryParameter, row func(*bigquery.RowIterator) error) error {
	return t.readUpTo(ctx, 0, sql, params, row)
}

// readUpTo is read with a limit to the bytes billed, if it is not 0.
func (t Table) readUpTo(ctx context.Context, mostBilled int64, sql string, params []bigquery.QueryParameter, row func(*bigquery.RowIterator) error) error {
	ctx, cancel := context.WithTimeout(ctx, t.Timeout)
	defer cancel()
	q := t.Client.Query(sql)
	q.Parameters, q.MaxBytesBilled = params, mostBilled
	rows, err := q.Read(ctx)
	if err != nil {
		return err
	}
	for {
		if err := row(rows); err != nil {
			return done(err)
		}
	}
}
