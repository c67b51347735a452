package embed

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
)

// space hashes all that decides about a vector: the model's files, the
// tokenizer, and what is done around them. How texts are put into batches does
// not count, nor do the names of files.
func (f *folder) space(o *output, h *head, special bool) (string, error) {
	sum := sha256.New()
	for _, name := range append([]string{f.model}, f.external...) {
		if err := hashFile(sum, name); err != nil {
			return "", err
		}
	}
	fmt.Fprintf(sum, "tokenizer %d\n", len(f.tokenizer))
	sum.Write(f.tokenizer)
	fmt.Fprintf(sum, "tokens %d lower %t left %t %t pad %d first %d special %t\n",
		f.maxTokens, f.lower, f.padLeft, f.cutLeft, f.padID, f.firstPlace, special)
	fmt.Fprintf(sum, "prompts %q %q\n", f.prompts.query, f.prompts.document)
	fmt.Fprintf(sum, "output %q pooling %q\n", o.name, h.modes)
	if len(h.modes) > 0 && f.passesOver() {
		fmt.Fprintln(sum, "prompt passed over")
	}
	for _, s := range h.steps {
		s.identify(sum)
	}
	return hex.EncodeToString(sum.Sum(nil)[:16]), nil
}

func hashFile(h io.Writer, name string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	fmt.Fprintf(h, "file %d\n", info.Size())
	_, err = io.Copy(h, file)
	return err
}
