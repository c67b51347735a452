// Package chaos runs stages while things break, on an in-process broker and, with
// the tag realkafka, on a real one. It is a module of its own: what spoils a
// network for it must not reach the library's users.
package chaos
