// Package reduce makes vectors shorter, so that searches cost less.
//
// [PCA] keeps the directions in which the vectors vary most. A [PCAFitter]
// learns it from a stream of vectors in one pass, in memory that does not grow
// with their number:
//
//	var fitter reduce.PCAFitter
//	for batch := range batches {
//		err := fitter.Add(batch...)
//		...
//	}
//	pca, err := fitter.Fit(150) // or fitter.FitVariance(0.9)
//
// A *PCA is a stage.Transform of vector.Vector: chain it after a model by
// stage.Then. What it gives is of a space of its own, which its input's space
// and its parameters determine, so that vectors of two fits are never compared.
//
// The Euclidean distance of two reduced vectors is never above that of the
// full ones (the components are orthonormal): order is kept approximately, and
// a search may discard by the reduced distance without losing a neighbour. Angles
// are not kept, since the mean is subtracted: for cosine, normalise first and
// then search by Euclidean distance.
package reduce
