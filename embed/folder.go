package embed

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/millrace-go/millrace/embed/internal/onnx"
)

// folder is what a model's files and the options say together.
type folder struct {
	transformer
	model    string   // file name of the ONNX model
	external []string // file names of weights beside it
	dynamic  bool     // the model quantises as it goes, a batch at a time
	pooling  poolingConfig
	steps    []step // after the pooling
	prompts  prompts
	golden   *golden // nil: none, or options make other vectors
}

// passesOver reports whether the pooling passes over a prompt, for queries or
// for documents.
func (f *folder) passesOver() bool {
	return f.pooling.withoutPrompt && (f.prompts.query != "" || f.prompts.document != "")
}

// shifts reports whether padding moves a text's tokens to other positions,
// which changes its vector.
func (f *folder) shifts(s *signature) bool {
	positions := slices.ContainsFunc(s.inputs, func(in input) bool { return in.name == inputPositions })
	return f.padLeft && f.positions > 0 && f.firstPlace == 0 && !positions
}

// readFolder reads all but the model itself, which it only looks into. name is
// a folder or an ONNX file.
func readFolder(name string, s *settings) (*folder, error) {
	r, file, err := findFolder(name)
	if err != nil {
		return nil, err
	}
	f := &folder{}
	at, err := r.modules(f, s)
	if err != nil {
		return nil, err
	}
	if f.transformer, err = r.transformer(at, s.maxTokens); err != nil {
		return nil, err
	}
	if err := r.options(f, s); err != nil {
		return nil, err
	}
	if file != "" {
		f.model = file
	} else if f.model, err = r.model(at); err != nil {
		return nil, err
	}
	if !s.changeVectors() {
		var g golden
		if found, err := r.may(goldenName, &g); err != nil {
			return nil, err
		} else if found {
			if err := g.check(); err != nil {
				return nil, r.wrong(goldenName, err)
			}
			f.golden = &g
		}
	}
	return f, f.inspect()
}

// findFolder finds a model's folder, and the model's file where name is one:
// the folder is the file's, or the one above when that has the other files.
func findFolder(name string) (r reader, file string, err error) {
	info, err := os.Stat(name)
	if err != nil {
		return r, "", fmt.Errorf("there is no model folder: %w; %s", err, installHint)
	}
	if info.IsDir() {
		return reader{name}, "", nil
	}
	above := reader{filepath.Dir(filepath.Dir(name))}
	r = reader{filepath.Dir(name)}
	if !r.has("modules.json") && (above.has("modules.json") || !r.has("tokenizer.json") && above.has("tokenizer.json")) {
		r = above
	}
	return r, name, nil
}

// modules reads what modules.json names, but for the transformer, whose folder
// it returns. A model without the file needs options in its place.
func (r reader) modules(f *folder, s *settings) (at string, err error) {
	if !r.has("modules.json") && (len(s.pooling) > 0 || s.output != "") {
		f.pooling.modes = s.pooling
		return "", nil
	}
	data, err := r.must("modules.json")
	if err != nil {
		return "", fmt.Errorf("%w; for a model and a tokenizer.json alone, WithPooling says how to pool", err)
	}
	modules, err := parseModules(data)
	if err != nil {
		return "", r.wrong("modules.json", err)
	}
	at, rest := modules[0].Path, modules[1:]
	if len(rest) > 0 && rest[0].kind() == "Pooling" {
		name := path.Join(rest[0].Path, "config.json")
		if data, err = r.must(name); err != nil {
			return "", err
		}
		if f.pooling, err = parsePooling(data); err != nil {
			return "", r.wrong(name, err)
		}
		rest = rest[1:]
	}
	if len(s.pooling) > 0 {
		f.pooling.modes = s.pooling
	}
	f.steps, err = r.steps(rest)
	return at, err
}

// options reads config_sentence_transformers.json and puts it and the options
// over the modules.
func (r reader) options(f *folder, s *settings) error {
	const name = "config_sentence_transformers.json"
	var config promptConfig
	if _, err := r.may(name, &config); err != nil {
		return err
	}
	err := config.check()
	if err == nil {
		f.prompts, err = config.choose(s)
	}
	if err != nil {
		return r.wrong(name, err)
	}
	last := len(f.steps)
	if last > 0 && f.steps[last-1] == step(normalise{}) {
		last--
	} else if s.normalise {
		f.steps = append(f.steps, normalise{})
	}
	// What is cut off must not count in the length.
	if dim := s.truncateDim; dim > 0 || config.TruncateDim != nil {
		if dim == 0 {
			dim = *config.TruncateDim
		}
		f.steps = append(f.steps[:last:last], append([]step{truncate(dim)}, f.steps[last:]...)...)
	}
	return nil
}

// model finds the ONNX file.
func (r reader) model(at string) (string, error) {
	names := []string{path.Join(at, "model.onnx"), path.Join(at, "onnx", "model.onnx")}
	for _, name := range names {
		if r.has(name) {
			return filepath.Join(r.dir, filepath.FromSlash(name)), nil
		}
	}
	hint := installHint + " with one that has"
	if others, err := filepath.Glob(filepath.Join(r.dir, filepath.FromSlash(at), "onnx", "*.onnx")); err == nil && len(others) > 0 {
		hint = fmt.Sprintf("it has %s: open that file instead of the folder", others[0])
	}
	return "", fmt.Errorf("the model folder %s has neither %s nor %s; %s", r.dir, names[0], names[1], hint)
}

// inspect looks into the model: which files does it want, and does it quantise
// as it goes?
func (f *folder) inspect() error {
	facts, err := onnx.Inspect(f.model)
	if err != nil {
		return fmt.Errorf("%s: %w", f.model, err)
	}
	for _, op := range facts.Operators {
		// DynamicQuantizeLinear, and ONNX Runtime's DynamicQuantizeMatMul, DynamicQuantizeLSTM.
		f.dynamic = f.dynamic || strings.HasPrefix(op, "DynamicQuantize")
	}
	for _, name := range facts.External {
		local, err := filepath.Localize(path.Clean(name))
		if err != nil || strings.ContainsRune(name, '\\') {
			return fmt.Errorf("%s: its weights in %q are outside its folder, which is not allowed", f.model, name)
		}
		file := filepath.Join(filepath.Dir(f.model), local)
		if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() {
			return fmt.Errorf("%s: its weights in %q are not there: %s", f.model, name, file)
		}
		f.external = append(f.external, file)
	}
	return nil
}

// reader reads the files of a folder.
type reader struct {
	dir string
}

// read reads a file below the folder: what modules.json says must not lead out
// of it. Links may, as those in Hugging Face's own cache do.
func (r reader) read(name string) ([]byte, error) {
	local, err := filepath.Localize(name)
	if err != nil {
		return nil, fmt.Errorf("%q is not a path inside the folder", name)
	}
	return os.ReadFile(filepath.Join(r.dir, local))
}

// has reports whether there is a file.
func (r reader) has(name string) bool {
	local, err := filepath.Localize(name)
	if err != nil {
		return false
	}
	info, err := os.Stat(filepath.Join(r.dir, local))
	return err == nil && info.Mode().IsRegular()
}

func (r reader) must(name string) ([]byte, error) {
	data, err := r.read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the model folder %s has no %s: is it a whole sentence-transformers folder? %s", r.dir, name, installHint)
	}
	if err != nil {
		return nil, fmt.Errorf("the model folder %s: %w", r.dir, err)
	}
	return data, nil
}

// may reads a JSON file that need not be there.
func (r reader) may(name string, into any) (found bool, err error) {
	data, err := r.read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		return false, r.wrong(name, err)
	}
	return true, nil
}

// firstOf reads the first of some JSON files that says anything.
func (r reader) firstOf(at string, names []string, into any) (name string, err error) {
	for _, name := range names {
		name = path.Join(at, name)
		var fields map[string]json.RawMessage
		if found, err := r.may(name, &fields); err != nil {
			return name, err
		} else if found && len(fields) > 0 {
			_, err = r.may(name, into)
			return name, err
		}
	}
	return names[0], nil
}

func (r reader) wrong(name string, err error) error {
	return fmt.Errorf("%s: %w", filepath.Join(r.dir, filepath.FromSlash(name)), err)
}
