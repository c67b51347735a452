// Package vector holds what the packages that make, shorten and search
// vectors share: the [Vector] with the identity of its space, and [Codec],
// its compact form on the wire.
//
// It imports nothing but the standard library, so that a service that only
// passes vectors on pays for neither a model nor an index.
package vector
