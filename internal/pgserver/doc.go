// Package pgserver installs and runs a PostgreSQL with pgvector on this machine,
// for tests and benchmarks: 16.2 and 0.6.2, from PyPI's pgserver, checked by
// sha256. Linux on x86-64 only.
package pgserver
