// Package bigquery finds nearest neighbours by a query of Google BigQuery: a
// similarity.Finder over a table of ids, spaces and vectors.
//
//	table := bigquery.Table{Client: client, Dataset: "posts", Name: "vectors"}
//	err := table.Load(ctx, items, nil) // creates and fills it, where that was not done before
//	...
//	finder, err := bigquery.Open(ctx, table, space, similarity.Euclidean)
//
// Client is a *bigquery.Client of cloud.google.com/go/bigquery; its options
// decide about credentials and endpoint, an emulator's for instance.
//
// A batch of vectors is one query (several, if it is very large), which compares
// them all with every row of their space, exactly: its cost is the bytes of the
// table's vectors, 8 a value, once a batch ([Finder.Estimate]). Larger batches are
// cheaper. It is asked by VECTOR_SEARCH where the endpoint knows that, else by
// EUCLIDEAN_DISTANCE or COSINE_DISTANCE; both break ties by id. [WithIndex] lets
// VECTOR_SEARCH use an index, and miss some. [Finder.Where] leaves rows out by their
// columns, [WithMaxBytesBilled] refuses what is dear, and [WithStatistics] tells
// what was billed, cached, and by which index, in [Stats] and as metrics.
//
// [Layout] makes data set, table and vector index from a Go struct, and tells
// first what it would change.
//
// Values always travel as query parameters; names of projects, data sets, tables
// and columns are checked against a grammar, narrower than BigQuery's, before
// they reach the SQL text.
package bigquery
