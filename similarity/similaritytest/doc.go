// Package similaritytest holds the tests that every similarity.Finder must
// pass.
package similaritytest
