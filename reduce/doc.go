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
// [PCA.SaveFile] and [LoadFile] keep it bit for bit; [PCA.SaveNPZ] and [LoadNPZ]
// exchange it with scikit-learn.
//
// [Dense] is a layer that was trained to shorten vectors, [Truncate] keeps the
// first values, for models trained for that, and [Normalize] gives length 1.
//
// All are a stage.Transform of vector.Vector: chain them after a model by
// stage.Then. What they give is of a space of its own, which the input's space
// and the reducer's parameters determine, so that vectors of two fits are never
// compared.
//
// Package reduce/report, and the command reduce/choose, tell what each size
// keeps of the variance and of the nearest neighbours.
//
// The Euclidean distance of two reduced vectors is never above that of the
// full ones (the components are orthonormal): order is kept approximately, and
// a search may discard by the reduced distance without losing a neighbour. Angles
// are not kept, since the mean is subtracted: for cosine, normalise first and
// then search by Euclidean distance.
package reduce
