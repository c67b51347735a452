package bigquery

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"cloud.google.com/go/bigquery"

	"github.com/millrace-go/millrace/internal/bqname"
	"github.com/millrace-go/millrace/similarity"
)

// Layout is how a table is to be: [Layout.Plan] tells what is different, and
// [Layout.Ensure] changes that.
type Layout struct {
	// Table is which table. Its columns for id, space and vector are part of it.
	Table Table
	// Row is a struct whose fields are the table's columns, by the rules and
	// tags of cloud.google.com/go/bigquery: those that are needed are added if
	// it has not got them. Nil: there are no others.
	Row any
	// PartitionBy is a DATE, TIMESTAMP or DATETIME column by whose days the table
	// is partitioned; empty: it is not.
	PartitionBy string
	// ClusterBy are the columns by which rows are kept together, at most 4; by
	// default space and id.
	ClusterBy []string
	// Index is the table's vector index, nil for none.
	Index *VectorIndex
}

// VectorIndex makes VECTOR_SEARCH faster and its answers approximate, see
// [WithIndex]. BigQuery fills it some time after the rows are there, and not
// below 10 MB of them.
type VectorIndex struct {
	// Name; by default the vector's column with "_index" behind it.
	Name string
	// Type is IVF for few queries at once, TreeAH for hundreds.
	Type IndexType
	// Metric must be the Finder's.
	Metric similarity.Metric
	// Lists is the number of an IVF's lists, up to 5,000; 0 leaves it to BigQuery.
	Lists int
	// Leaf is how many vectors a leaf of a TreeAH has, 500 at least; 0 leaves it
	// to BigQuery.
	Leaf int
	// Store are the columns that are kept in the index: those of [Finder.Where].
	// Id and space always are.
	Store []string
}

// IndexType is a kind of vector index. The zero value is IVF.
type IndexType uint8

// The kinds of vector index.
const (
	IVF    IndexType = iota // lists around centres
	TreeAH                  // a tree with compressed vectors
)

// String is BigQuery's name of it.
func (t IndexType) String() string {
	switch t {
	case IVF:
		return "IVF"
	case TreeAH:
		return "TREE_AH"
	}
	return fmt.Sprintf("IndexType(%d)", uint8(t))
}

var locationName = regexp.MustCompile(`^[A-Za-z0-9-]{0,63}$`)

// withDefaults fills what is empty, and reports all that is wrong at once.
func (l Layout) withDefaults() (Layout, bigquery.Schema, error) {
	t, err := l.Table.withDefaults()
	if err != nil {
		return l, nil, err
	}
	l.Table = t
	if len(l.ClusterBy) == 0 {
		l.ClusterBy = []string{t.SpaceColumn, t.IDColumn}
	}
	schema, err := l.schema()
	errs := []error{err}
	wrong := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf("bigquery: "+format, args...))
		}
	}
	wrong(!locationName.MatchString(t.Client.Location), "Client.Location: %q is no location", t.Client.Location)
	wrong(len(l.ClusterBy) > 4, "ClusterBy: %d columns, at most 4 are allowed", len(l.ClusterBy))
	for _, c := range l.ClusterBy {
		wrong(field(schema, c) == nil, "ClusterBy: there is no column %q", c)
	}
	if l.PartitionBy != "" {
		f := field(schema, l.PartitionBy)
		wrong(f == nil || f.Type != bigquery.DateFieldType && f.Type != bigquery.TimestampFieldType && f.Type != bigquery.DateTimeFieldType,
			"PartitionBy: %q is not a column of type DATE, TIMESTAMP or DATETIME", l.PartitionBy)
	}
	if l.Index != nil {
		x := *l.Index
		x.Name = cmp.Or(x.Name, t.VectorColumn+"_index")
		x.Store = append([]string{t.IDColumn, t.SpaceColumn}, slices.DeleteFunc(slices.Clone(x.Store), func(c string) bool { return c == t.IDColumn || c == t.SpaceColumn })...)
		l.Index = &x
		wrong(!bqname.Column.MatchString(x.Name), "Index.Name: %q does not match %v", x.Name, bqname.Column)
		wrong(x.Type > TreeAH, "Index.Type: %v is not IVF or TreeAH", x.Type)
		wrong(x.Metric != similarity.Euclidean && x.Metric != similarity.Cosine, "Index.Metric: no index for metric %v", x.Metric)
		wrong(x.Lists < 0 || x.Lists > 5000 || x.Type == TreeAH && x.Lists > 0, "Index.Lists: %d; an IVF has up to 5000", x.Lists)
		wrong(x.Leaf < 0 || x.Leaf > 0 && x.Leaf < 500 || x.Type == IVF && x.Leaf > 0, "Index.Leaf: %d; a TreeAH has at least 500", x.Leaf)
		for _, c := range x.Store {
			wrong(field(schema, c) == nil, "Index.Store: there is no column %q", c)
		}
	}
	return l, schema, errors.Join(errs...)
}

// schema is that of the Row, and of what a Finder needs.
func (l Layout) schema() (bigquery.Schema, error) {
	var schema bigquery.Schema
	if l.Row != nil {
		var err error
		if schema, err = bigquery.InferSchema(l.Row); err != nil {
			return nil, fmt.Errorf("bigquery: Row: %w", err)
		}
	}
	for _, want := range l.Table.schema() {
		got := field(schema, want.Name)
		switch {
		case got == nil:
			schema = append(schema, want)
		case got.Type != want.Type || got.Repeated != want.Repeated:
			return nil, fmt.Errorf("bigquery: Row: its column %q is %s, and must be %s", want.Name, columnType(got), columnType(want))
		}
	}
	return schema, checkNames(schema)
}

// checkNames holds all names, of nested columns too, against the grammar.
func checkNames(schema bigquery.Schema) error {
	var errs []error
	for _, f := range schema {
		if !bqname.Column.MatchString(f.Name) {
			errs = append(errs, fmt.Errorf("bigquery: Row: a column's name %q does not match %v", f.Name, bqname.Column))
		}
		errs = append(errs, checkNames(f.Schema))
	}
	return errors.Join(errs...)
}

// field finds a column: BigQuery does not tell capitals from small letters.
func field(schema bigquery.Schema, name string) *bigquery.FieldSchema {
	for _, f := range schema {
		if strings.EqualFold(f.Name, name) {
			return f
		}
	}
	return nil
}

// columnType is a column's type in SQL.
func columnType(f *bigquery.FieldSchema) string {
	name := string(f.Type)
	switch f.Type {
	case bigquery.IntegerFieldType:
		name = "INT64"
	case bigquery.FloatFieldType:
		name = "FLOAT64"
	case bigquery.BooleanFieldType:
		name = "BOOL"
	case bigquery.RecordFieldType:
		var parts []string
		for _, c := range f.Schema {
			parts = append(parts, "`"+c.Name+"` "+columnType(c))
		}
		name = "STRUCT<" + strings.Join(parts, ", ") + ">"
	default: // the same in both
	}
	if f.Repeated {
		return "ARRAY<" + name + ">"
	}
	return name
}

func quoted(names []string) string {
	return "`" + strings.Join(names, "`, `") + "`"
}

// datasetSQL, tableSQL, columnSQL and indexSQL are the statements.

func (l Layout) datasetSQL() string {
	sql := "CREATE SCHEMA IF NOT EXISTS `" + l.Table.Project + "." + l.Table.Dataset + "`"
	if l.Table.Client.Location != "" {
		sql += " OPTIONS (location = '" + l.Table.Client.Location + "')"
	}
	return sql
}

func (l Layout) tableSQL(schema bigquery.Schema) string {
	var b strings.Builder
	b.WriteString(l.Table.sql("CREATE TABLE IF NOT EXISTS {table} ("))
	for i, f := range schema {
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString("\n  `" + f.Name + "` " + columnType(f))
		if f.Required && !f.Repeated {
			b.WriteString(" NOT NULL")
		}
	}
	b.WriteString("\n)")
	if l.PartitionBy != "" {
		by := "`" + l.PartitionBy + "`"
		if field(schema, l.PartitionBy).Type != bigquery.DateFieldType {
			by = "DATE(" + by + ")"
		}
		b.WriteString("\nPARTITION BY " + by)
	}
	b.WriteString("\nCLUSTER BY " + quoted(l.ClusterBy))
	return b.String()
}

func (l Layout) columnSQL(f *bigquery.FieldSchema) string {
	return l.Table.sql("ALTER TABLE {table} ADD COLUMN IF NOT EXISTS `" + f.Name + "` " + columnType(f))
}

func (l Layout) indexSQL() string {
	x := l.Index
	options := []string{"index_type = '" + x.Type.String() + "'", "distance_type = '" + metricName(x.Metric) + "'"}
	if x.Lists > 0 {
		options = append(options, `ivf_options = '{"num_lists":`+strconv.Itoa(x.Lists)+`}'`)
	}
	if x.Leaf > 0 {
		options = append(options, `tree_ah_options = '{"leaf_node_embedding_count":`+strconv.Itoa(x.Leaf)+`}'`)
	}
	return l.Table.sql("CREATE VECTOR INDEX IF NOT EXISTS `" + x.Name + "` ON {table}({vector})\nSTORING (" + quoted(x.Store) + ")\nOPTIONS (" + strings.Join(options, ", ") + ")")
}
