package bigquery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"cloud.google.com/go/bigquery"
	"google.golang.org/api/googleapi"
)

// Change is something that a table lacks.
type Change struct {
	What string // for people
	SQL  string // the statement that would make it

	do func(context.Context) error
}

// String is both.
func (c Change) String() string { return c.What + ":\n" + c.SQL }

// Plan tells what [Layout.Ensure] would change: nothing if all is there, in the
// order of the changes. What cannot be changed where there are rows, a
// column's type, the partitions, the clusters and another index, is an
// error that says so. Columns, and an index of another name, that are there and
// not in the layout stay.
func (l Layout) Plan(ctx context.Context) ([]Change, error) {
	l, schema, err := l.withDefaults()
	if err != nil {
		return nil, err
	}
	changes, err := l.plan(ctx, schema)
	if err != nil {
		return nil, fmt.Errorf("bigquery: planning %v: %w", l.Table, err)
	}
	return changes, nil
}

// Ensure makes the data set, the table, its columns and its index where they are
// missing, and returns what it changed: nothing the second time. If it fails on
// the way it returns what was changed until then. Two at once do no harm.
func (l Layout) Ensure(ctx context.Context) ([]Change, error) {
	changes, err := l.Plan(ctx)
	if err != nil {
		return nil, err
	}
	for i, c := range changes {
		if err := c.do(ctx); err != nil {
			return changes[:i], fmt.Errorf("bigquery: %s: %w", c.What, explain(err))
		}
	}
	return changes, nil
}

func (l Layout) plan(ctx context.Context, schema bigquery.Schema) ([]Change, error) {
	ctx, cancel := context.WithTimeout(ctx, l.Table.Timeout)
	defer cancel()
	var changes []Change
	change := func(what, sql string, do func(context.Context) error) {
		if do == nil {
			do = l.statement(sql)
		}
		changes = append(changes, Change{what, sql, do})
	}
	dataset := l.Table.Client.DatasetInProject(l.Table.Project, l.Table.Dataset)
	there, err := exist(dataset.Metadata(ctx))
	if err != nil {
		return nil, err
	}
	if there == nil {
		change("create data set "+l.Table.Dataset, l.datasetSQL(), l.createDataset)
	}
	var table *bigquery.TableMetadata
	if there != nil {
		if table, err = exist(dataset.Table(l.Table.Name).Metadata(ctx)); err != nil {
			return nil, err
		}
	}
	if table == nil {
		change("create table "+l.Table.String(), l.tableSQL(schema), func(ctx context.Context) error { return l.createTable(ctx, schema) })
	} else {
		if err := l.compare(table, schema); err != nil {
			return nil, err
		}
		for _, f := range schema {
			if field(table.Schema, f.Name) == nil {
				change("add column "+f.Name, l.columnSQL(f), nil)
			}
		}
	}
	if l.Index != nil {
		missing := table == nil
		if !missing {
			if missing, err = l.indexMissing(ctx); err != nil {
				return nil, err
			}
		}
		if missing {
			change("create vector index "+l.Index.Name, l.indexSQL(), nil)
		}
	}
	return changes, nil
}

// createDataset and createTable go by calls of their own, for which the right to
// run queries is not needed. Somebody else may have been first.

func (l Layout) createDataset(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, l.Table.Timeout)
	defer cancel()
	err := l.Table.Client.DatasetInProject(l.Table.Project, l.Table.Dataset).Create(ctx, &bigquery.DatasetMetadata{Location: l.Table.Client.Location})
	if exists(err) {
		return nil
	}
	return err
}

func (l Layout) createTable(ctx context.Context, schema bigquery.Schema) error {
	ctx, cancel := context.WithTimeout(ctx, l.Table.Timeout)
	defer cancel()
	table := &bigquery.TableMetadata{Schema: schema, Clustering: &bigquery.Clustering{Fields: l.ClusterBy}}
	if l.PartitionBy != "" {
		table.TimePartitioning = &bigquery.TimePartitioning{Type: bigquery.DayPartitioningType, Field: l.PartitionBy}
	}
	err := l.Table.Client.DatasetInProject(l.Table.Project, l.Table.Dataset).Table(l.Table.Name).Create(ctx, table)
	if exists(err) {
		return nil
	}
	return err
}

// statement runs one that has no rows.
func (l Layout) statement(sql string) func(context.Context) error {
	return func(ctx context.Context) error {
		return l.Table.read(ctx, sql, nil, func(rows *bigquery.RowIterator) error {
			var row []bigquery.Value
			return rows.Next(&row)
		})
	}
}

// exist makes a 404 nothing, and no error.
func exist[T any](m *T, err error) (*T, error) {
	if e, ok := errors.AsType[*googleapi.Error](err); ok && e.Code == http.StatusNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, explain(err)
	}
	return m, nil
}

// compare reports all that is different and cannot be changed.
func (l Layout) compare(table *bigquery.TableMetadata, schema bigquery.Schema) error {
	var errs []error
	differs := func(what, got, want string) {
		if got != want {
			errs = append(errs, fmt.Errorf("%s %s where %s is wanted: BigQuery cannot change that; copy the rows into a new table", what, got, want))
		}
	}
	for _, want := range schema {
		got := field(table.Schema, want.Name)
		if got == nil {
			if want.Required && !want.Repeated {
				errs = append(errs, fmt.Errorf("column %s is missing, and NOT NULL is wanted, which a column that is added to a table cannot be: make its field a NullString or the like", want.Name))
			}
			continue
		}
		differs("column "+want.Name+" is", columnType(got), columnType(want))
	}
	differs("partitions are by", partitions(table), cmp.Or(l.PartitionBy, "nothing"))
	clusters := "nothing"
	if table.Clustering != nil {
		clusters = strings.Join(table.Clustering.Fields, ", ")
	}
	differs("clusters are by", clusters, strings.Join(l.ClusterBy, ", "))
	return errors.Join(errs...)
}

func partitions(table *bigquery.TableMetadata) string {
	switch {
	case table.RangePartitioning != nil:
		return table.RangePartitioning.Field
	case table.TimePartitioning == nil:
		return "nothing"
	case table.TimePartitioning.Type != "" && table.TimePartitioning.Type != bigquery.DayPartitioningType:
		return table.TimePartitioning.Field + " by " + string(table.TimePartitioning.Type)
	case table.TimePartitioning.Field == "":
		return "the time of loading"
	}
	return table.TimePartitioning.Field
}

// indexMissing looks for the index. One of that name with other settings is an
// error.
func (l Layout) indexMissing(ctx context.Context) (bool, error) {
	status, err := l.Table.indexes(ctx)
	if err != nil {
		return false, fmt.Errorf("its indexes: %w", explain(err))
	}
	at := slices.IndexFunc(status, func(s IndexStatus) bool { return strings.EqualFold(s.Name, l.Index.Name) })
	if at < 0 {
		for _, s := range status {
			if strings.EqualFold(s.Column, l.Table.VectorColumn) {
				return false, fmt.Errorf("column %s has the vector index %s; a column has one at most: name that, or drop it by DROP VECTOR INDEX", l.Table.VectorColumn, s.Name)
			}
		}
		return true, nil
	}
	got, want := normal(status[at].DDL), l.indexSQL()
	for _, part := range []string{"index_type = '" + l.Index.Type.String() + "'", "distance_type = '" + metricName(l.Index.Metric) + "'"} {
		if !strings.Contains(got, normal(part)) {
			return false, fmt.Errorf("vector index %s was made by\n%s\nwhere this is wanted:\n%s\ndrop it by DROP VECTOR INDEX, and it is made anew", l.Index.Name, status[at].DDL, want)
		}
	}
	return false, nil
}

// normal makes two ways to write a statement one.
func normal(sql string) string {
	return strings.ToUpper(strings.Join(strings.Fields(strings.NewReplacer(`"`, "'", "`", "", "=", " = ").Replace(sql)), " "))
}
