// Package embed turns text into vectors with sentence-transformers models, on
// ONNX Runtime and Hugging Face's tokenizers.
//
//	model, err := embed.Open(embed.Installed("all-MiniLM-L6-v2"))
//	if err != nil { ... }
//	defer model.Close()
//	vectors, err := model.Transform(ctx, []string{"We will build a wall"})
//
// A [Model] is a transform from string to [vector.Vector], so it is a stage's
// Transform as it is. Texts of a call are sorted by their number of tokens and
// run in batches of similar length, so that little time goes into padding; the
// results come in the order of the texts. A vector does not depend on the other
// texts of its batch, but for the last bits of its numbers (below 1e-6).
//
// # What has to be installed
//
// The package links with libtokenizers.a and loads ONNX Runtime when the first
// model is opened. The installer brings both, and a model:
//
//	go run github.com/millrace-go/millrace/embed/setup
//
// and says which environment to build with: CGO_LDFLAGS, so that the linker
// finds libtokenizers.a, and ONNXRUNTIME_SHARED_LIBRARY_PATH, without which the
// installer's own folder is looked at. Nothing is downloaded at run time.
//
// # Model folders
//
// A folder is read as sentence-transformers reads it: modules.json, the
// transformer's configuration (the longest text, in tokens), the pooling (mean,
// cls or max) and whether vectors are normalised; the model itself is model.onnx
// or onnx/model.onnx, with tokenizer.json beside it. What the folder asks for
// and this package does not do (other poolings, a Dense module, prompts) is an
// error of [Open], never another vector than expected.
//
// ONNX Runtime's environment belongs to the whole process. Opening a model
// starts it unless another package did, and nothing here ever ends it.
package embed
