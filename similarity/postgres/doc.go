// Package postgres finds nearest neighbours in PostgreSQL, by pgvector: a
// similarity.Finder over a table of ids, spaces and vectors.
//
//	pool, err := pgxpool.New(ctx, "postgres://...")
//	...
//	table := postgres.Table{Pool: pool, Name: "vectors"}
//	err = table.Load(ctx, items, nil) // creates the table, adds and replaces rows
//	...
//	finder, err := postgres.Open(ctx, table, space, similarity.Euclidean)
//
// Its answers are exact, to the last tie: pgvector, which measures in float32,
// finds candidates, and they are measured again in float64 until it is proved
// that no other row is nearer. [WithIndex] lets an index be used in place of
// that.
//
// A batch of vectors is one statement. Values travel as parameters; names of
// schemas, tables and columns are checked against a grammar.
package postgres
