// Package corpus prepares an archive for questions and keeps what it prepared:
// the cleaned posts, their vectors, PCAs, and an index for each size.
//
// A corpus is a folder:
//
//	posts.jsonl      the cleaned posts, one a line
//	vectors          a vector for each post, appended as they are made
//	pca-N, index-N   the reduction to N dimensions, and the posts' index there
//	index            the index of the full vectors
//	corpus.json      what all this was made of, and whether it is whole
//
// A preparation that is interrupted goes on where it stopped.
package corpus
