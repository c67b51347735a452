// Package embed turns text into vectors with sentence-transformers models, on
// ONNX Runtime and Hugging Face's tokenizers.
//
//	model, err := embed.Open(embed.Installed("all-MiniLM-L6-v2"))
//	if err != nil { ... }
//	defer model.Close()
//	vectors, err := model.Transform(ctx, []string{"We will build a wall"})
//
// A [Model] is a transform from string to [vector.Vector], so it is a stage's
// Transform as it is; [Model.Embed] also tells how many tokens counted and
// whether a text was too long. Texts of a call are sorted by their number of
// tokens and run in batches of similar length, so that little time goes into
// padding; the results come in the order of the texts. A vector does not depend
// on the other texts of its batch, but for the last bits of its numbers (below
// 1e-6); where it would, as in models that quantise as they go, texts run one by
// one ([WithBatchInvariant]).
//
// # In a stage
//
// By default as many batches run at once as there are processors, each on one
// thread: that has the most texts done. A stage needs its default of Workers, so
// that one call's texts are tokenized while another's run, and a large BatchSize,
// which leaves more texts of similar length to choose from, and so less padding:
// of tweets 1 % with 512, 2 % with 256, 6 % with 64; 1024 is as fast as all at
// once. Where somebody waits for each text, [WithLatency] and one worker answer
// sooner.
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
// A folder is read as sentence-transformers reads it, versions 1 to 6:
//
//   - modules.json: a Transformer, then perhaps a Pooling, then any of Dense
//     (weights in safetensors), LayerNorm, Normalize and Dropout;
//   - the pooling: each of [PoolCLS], [PoolMax], [PoolMean], [PoolMeanSqrtLen],
//     [PoolWeightedMean], [PoolLastToken], or several, with or without the prompt;
//   - how long a text may be, in tokens, and whether it is lowered
//     (sentence_bert_config.json and its like, tokenizer_config.json, config.json);
//   - padding and truncation, on either side;
//   - prompts, the default one, and truncate_dim (config_sentence_transformers.json).
//
// The model itself is model.onnx or onnx/model.onnx, with tokenizer.json beside
// modules.json; [Open] also takes the file, for a folder with several. Its inputs
// are any of input_ids, attention_mask, token_type_ids and position_ids, its
// output the tokens' vectors or sentence_embedding, in floating-point numbers of
// 16, 32 or 64 bits or whole ones of 8. Weights may be in files beside it, but not
// outside its folder. Without modules.json, [WithPooling] and the other options
// say the rest. Options also change what a folder says.
//
// What the folder asks for and this package does not do is an error of [Open]
// that names it, never another vector than expected.
//
// A folder may have a file millrace_golden.json, which Open holds the model
// against: {"text": "It rains.", "tokens": [101, 2009, 15811, 1012, 102], "vector":
// [0.0096, 0.0180]}, the beginning of a vector, or all of it, within 1e-3 or its
// "tolerance".
//
// # Spaces
//
// A vector carries its model's [Model.Space]: a hash of the weights, the
// tokenizer, the pooling and all options that change vectors. Options that do
// not ([WithLatency], [WithThreads], [WithBatchTokens], [WithRecent],
// [WithBatchInvariant], [WithLibrary]) leave it. A model opened [ForQueries] and one opened [ForDocuments] are of one
// space, although their prompts differ: they were trained to be compared.
//
// # Bounds
//
// Long texts are cut at white space before they are tokenized, without changing
// their tokens, if the tokenizer splits there. Batches are bounded in tokens
// ([WithBatchTokens]), and the texts of a call are tokenized some thousands at a
// time, so that memory grows with the longest text a model reads
// ([WithMaxSeqLength]) and not with what comes in. NUL in a text counts as U+FFFD,
// since the tokenizer takes C strings; BERT's drops both. A text that the model fails at
// fails alone, with a [stage.BatchError].
//
// ONNX Runtime's environment belongs to the whole process. Opening a model
// starts it unless another package did, and nothing here ever ends it.
package embed
