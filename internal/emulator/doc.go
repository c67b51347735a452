// Package emulator installs and runs a BigQuery emulator on this machine: for
// the tests, and for the example program's -finder bigquery without an account.
//
// It is bqemulator from PyPI, with every package of its Python environment
// pinned by version and sha256 in requirements.lock. To renew the lock, change
// requirements.in and run pip-tools in this folder:
//
//	pip-compile --generate-hashes --strip-extras --allow-unsafe --no-annotate \
//		--no-header --no-emit-find-links --no-emit-index-url -o requirements.lock requirements.in
//
// What it does differently from the service: no VECTOR_SEARCH, no vector
// indexes, no insertId de-duplication, no MaxBytesBilled, and no error for
// COSINE_DISTANCE with a zero vector. Two of its answers are mended on the way
// to the client, see [Emulator.Client].
package emulator
