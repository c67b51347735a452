package vector

// Vector is a point in a space. Two vectors may be compared only if their
// spaces are equal: a distance between the outputs of two models is a number
// without meaning.
type Vector struct {
	// Space identifies how the values were made: the embedding model and the
	// reducers after it, as a hash. It is opaque; compare it, do not parse it.
	Space string
	// Values are the coordinates.
	Values []float32
}
