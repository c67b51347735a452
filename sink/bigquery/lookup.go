package bigquery

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"cloud.google.com/go/bigquery"
	"google.golang.org/api/iterator"

	"github.com/millrace-go/millrace/internal/bqname"
)

// Lookup reads the rows whose column has one of the ids, within Timeout, in no
// order; ids without a row are left out. T is a struct. It is a query of the table, billed by
// the bytes of T's columns, of which a table that is clustered by that column
// reads few. Table.Client is required.
//
// Rows are looked up by what names them: two sentences may have the same text.
func Lookup[T any](ctx context.Context, t Table, column string, ids ...string) ([]T, error) {
	t, err := t.forJobs()
	schema, wrong := schemaOf[T]()
	if reflect.TypeFor[T]().Kind() != reflect.Struct {
		wrong = fmt.Errorf("bigquery: rows are read into structs, and %v is none", reflect.TypeFor[T]())
	}
	if err := errors.Join(err, wrong); err != nil {
		return nil, err
	}
	if len(ids) == 0 {
		return nil, nil
	}
	names := []string{column}
	for _, f := range schema {
		names = append(names, f.Name)
	}
	for i, name := range names {
		if !bqname.Column.MatchString(name) {
			return nil, fmt.Errorf("bigquery: column %q does not match %v", name, bqname.Column)
		}
		names[i] = "`" + name + "`"
	}
	ctx, cancel := context.WithTimeout(ctx, t.Timeout)
	defer cancel()
	q := t.Client.Query(fmt.Sprintf("SELECT %s FROM `%s` WHERE %s IN UNNEST(@ids)", strings.Join(names[1:], ", "), t, names[0]))
	q.Parameters = []bigquery.QueryParameter{{Name: "ids", Value: ids}}
	rows, err := q.Read(ctx)
	if err != nil {
		return nil, fmt.Errorf("bigquery: looking up %d ids in %v: %w", len(ids), t, err)
	}
	var all []T
	for {
		var row T
		switch err := rows.Next(&row); {
		case errors.Is(err, iterator.Done):
			return all, nil
		case err != nil:
			return nil, fmt.Errorf("bigquery: looking up %d ids in %v: %w", len(ids), t, err)
		}
		all = append(all, row)
	}
}
