package embed

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	ort "github.com/yalue/onnxruntime_go"
)

// signature is what a model takes and gives.
type signature struct {
	inputs []input
	single bool // the model takes one text at a time
	width  int  // of a text, which the model fixes; 0: it leaves it open
	output
}

type input struct {
	name  string
	int32 bool // else int64
}

// The inputs that are known, by the names all exports use.
const (
	inputIDs       = "input_ids"
	inputMask      = "attention_mask"
	inputTypes     = "token_type_ids"
	inputPositions = "position_ids"
)

// The outputs that are taken without being told to, by name.
const (
	sentenceOutput = "sentence_embedding" // what a text's vector is, all modules applied
	tokensOutput   = "last_hidden_state"
	tokensOutput2  = "token_embeddings"
)

// readSignature looks into a model's file. wanted names the output to take; ""
// leaves that to the model. wantTokens asks for the tokens' vectors.
func readSignature(file, wanted string, wantTokens bool) (s signature, err error) {
	options, err := ort.NewSessionOptions()
	if err != nil {
		return s, err
	}
	defer free(options)
	// This session is only looked at: optimising it would be most of its cost.
	if err := errors.Join(quiet(options), options.SetGraphOptimizationLevel(ort.GraphOptimizationLevelDisableAll)); err != nil {
		return s, err
	}
	inputs, outputs, err := ort.GetInputOutputInfoWithOptions(file, options)
	if err != nil {
		return s, err
	}
	for _, in := range inputs {
		if err := s.addInput(in); err != nil {
			return s, err
		}
	}
	s.output, err = chooseOutput(outputs, wanted, wantTokens)
	return s, err
}

func (s *signature) addInput(in ort.InputOutputInfo) error {
	if !slices.Contains([]string{inputIDs, inputMask, inputTypes, inputPositions}, in.Name) {
		return fmt.Errorf("the model wants an input %q, which is not supported", in.Name)
	}
	if in.DataType != ort.TensorElementDataTypeInt64 && in.DataType != ort.TensorElementDataTypeInt32 {
		return fmt.Errorf("the model's input %s is of type %s, which is not supported", in.Name, in.DataType)
	}
	if len(in.Dimensions) != 2 || in.Dimensions[0] > 1 {
		return fmt.Errorf("the model's input %s is of shape %v, which is not supported; supported is [batch, tokens]", in.Name, in.Dimensions)
	}
	s.single = s.single || in.Dimensions[0] == 1
	s.width = max(s.width, int(in.Dimensions[1]))
	s.inputs = append(s.inputs, input{in.Name, in.DataType == ort.TensorElementDataTypeInt32})
	return nil
}

// output is the output that is taken.
type output struct {
	name string
	rank int // 3 a vector for each token, 2 one for each text
	dim  int // of a vector; 0 when the model leaves it open
	element
}

// complete reports whether the output is a text's vector with all of the
// folder's modules applied.
func (o *output) complete() bool { return o.rank == 2 && o.name == sentenceOutput }

// chooseOutput takes the sentence's vector where the model names it, else the
// tokens' vectors. Another output of rank 2 is often BERT's pooler, which is
// not what sentence-transformers takes: it must be asked for.
func chooseOutput(outputs []ort.InputOutputInfo, wanted string, wantTokens bool) (output, error) {
	named := func(name string) int {
		return slices.IndexFunc(outputs, func(o ort.InputOutputInfo) bool { return o.Name == name })
	}
	tokens := func(name string) int {
		return slices.IndexFunc(outputs, func(o ort.InputOutputInfo) bool {
			return len(o.Dimensions) == 3 && (name == "" || name == o.Name)
		})
	}
	choices := []int{tokens(tokensOutput), tokens(tokensOutput2), tokens("")}
	switch {
	case wanted != "":
		if choices = []int{named(wanted)}; choices[0] < 0 {
			return output{}, fmt.Errorf("the model has no output %q; it has %s", wanted, outputNames(outputs))
		}
	case !wantTokens:
		choices = slices.Insert(choices, 0, named(sentenceOutput))
	}
	for _, at := range choices {
		if at >= 0 {
			return newOutput(outputs[at])
		}
	}
	if wantTokens {
		return output{}, fmt.Errorf("the pooling needs the tokens' vectors, and the model has no output of rank 3; it has %s", outputNames(outputs))
	}
	return output{}, fmt.Errorf("the model has neither an output %s nor one of rank 3 with the tokens' vectors; it has %s, of which WithOutput takes one", sentenceOutput, outputNames(outputs))
}

func newOutput(info ort.InputOutputInfo) (o output, err error) {
	o = output{name: info.Name, rank: len(info.Dimensions)}
	if o.rank != 2 && o.rank != 3 {
		return o, fmt.Errorf("the model's output %s is of rank %d, want 2 or 3", o.name, o.rank)
	}
	o.dim = int(max(info.Dimensions[o.rank-1], 0))
	if o.element, err = elementOf(info.DataType); err != nil {
		return o, fmt.Errorf("the model's output %s: %w", o.name, err)
	}
	return o, nil
}

func outputNames(outputs []ort.InputOutputInfo) string {
	var names []string
	for _, o := range outputs {
		names = append(names, fmt.Sprintf("%s of rank %d", o.Name, len(o.Dimensions)))
	}
	return strings.Join(names, ", ")
}

// quiet keeps a session from writing to standard error what it returns, too.
func quiet(options *ort.SessionOptions) error {
	return options.SetLogSeverityLevel(ort.LoggingLevelFatal)
}

// newSession loads the model for as many threads. A session that is not alone
// must not spin while it waits: the others need the processors.
func newSession(file string, s signature, threads int, alone bool) (*ort.DynamicAdvancedSession, error) {
	options, err := ort.NewSessionOptions()
	if err != nil {
		return nil, err
	}
	defer free(options)
	err = errors.Join(quiet(options), options.SetIntraOpNumThreads(threads), options.SetInterOpNumThreads(1))
	if !alone {
		err = errors.Join(err, options.AddSessionConfigEntry("session.intra_op.allow_spinning", "0"))
	}
	if err != nil {
		return nil, err
	}
	names := make([]string, len(s.inputs))
	for i, in := range s.inputs {
		names[i] = in.name
	}
	return ort.NewDynamicAdvancedSession(file, names, []string{s.name}, options)
}
