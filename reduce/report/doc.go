// Package report tells what a PCA costs: for each size, how much of the
// variance it keeps, how far its vectors are from what they stand for, and how
// many of a query's nearest neighbours are still found. The last is what a
// search loses, and the variance does not tell it.
//
//	r, err := report.Measure(ctx, vectors, report.Options{})
//	...
//	err = r.WriteTable(os.Stdout)
//
// `go run github.com/millrace-go/millrace/reduce/choose -h` does so for a file
// of vectors, with a picture.
package report
