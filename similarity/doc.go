// Package similarity finds, for a vector, the nearest items of a collection.
//
// A [Finder] answers a batch of queries. [Index] is the one in process: exact,
// changed while it is searched, saved to a file and loaded from it; it finds all
// within a radius too, and leaves out what it is told to ([Index.Where]). Packages
// similarity/bigquery and similarity/postgres have those that ask BigQuery and
// pgvector. [Nearest] makes a Finder a stage's transform:
//
//	index, err := similarity.LoadFile("posts.index")
//	...
//	Transform: similarity.Nearest(index, 10),
//
// A smaller [Hit.Distance] is always nearer, whatever the [Metric].
//
// Vectors of different spaces (see package similarity/vector) are never
// compared: a query of another space than the collection's fails with an
// error that names both, and only that query of the batch.
//
// [Refined] is as exact, and faster where a PCA keeps most of the distances: it
// scans short rows, and measures the whole vectors of the few items left. [File]
// is an Index whose changes are appended to a file, and there after a crash.
// [Quantized] has an Index, a File or a Refined scan a byte a value: as exact, and three
// times as fast for a single query of some hundred values.
//
// For more than a million items there is [IVF], an approximate one, which tells
// how much it finds, and can be told how much it has to.
//
// A topic of vectors feeds an index while it answers: [Into] is a stage's sink.
// [Spaces] holds an index a space, for the time when a model is replaced.
//
// [Shadow] answers by one Finder and compares with another, in the background.
//
// To write a Finder of one's own, start from [FindValid], and run the suite in
// similarity/similaritytest on it.
package similarity
