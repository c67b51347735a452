package embed

import (
	"fmt"
	"maps"
	"slices"
)

// promptConfig is what of config_sentence_transformers.json changes vectors.
type promptConfig struct {
	Kind        string            `json:"model_type"`
	Prompts     map[string]string `json:"prompts"`
	Default     *string           `json:"default_prompt_name"`
	TruncateDim *int              `json:"truncate_dim"`
}

func (c *promptConfig) check() error {
	if c.Kind != "" && c.Kind != "SentenceTransformer" {
		return fmt.Errorf("a model of type %q is not supported; supported is SentenceTransformer", c.Kind)
	}
	if c.TruncateDim != nil && *c.TruncateDim <= 0 {
		return fmt.Errorf("a truncate_dim of %d", *c.TruncateDim)
	}
	return nil
}

// role is which side of a search a model embeds; see [ForQueries].
type role int

const (
	noRole role = iota
	queryRole
	documentRole
)

// prompts are the prompts that decide about a space: vectors of queries and of
// documents may be compared, although each have their own.
type prompts struct {
	own             string // stands before each text
	query, document string // equal to own where there is no role
}

// choose decides which prompt the options mean.
func (c *promptConfig) choose(s *settings) (prompts, error) {
	if s.prompt != nil {
		return prompts{*s.prompt, *s.prompt, *s.prompt}, nil
	}
	if s.promptName != "" {
		p, ok := c.Prompts[s.promptName]
		if !ok {
			return prompts{}, fmt.Errorf("there is no prompt %q; there are %q", s.promptName, slices.Sorted(maps.Keys(c.Prompts)))
		}
		return prompts{p, p, p}, nil
	}
	// An unknown name is none, as for sentence-transformers.
	usual := ""
	if c.Default != nil {
		usual = c.Prompts[*c.Default]
	}
	p := prompts{usual, c.first(usual, "query"), c.first(usual, "document", "passage", "corpus")}
	switch s.role {
	case queryRole:
		p.own = p.query
	case documentRole:
		p.own = p.document
	default:
		p.query, p.document = usual, usual
	}
	return p, nil
}

func (c *promptConfig) first(otherwise string, names ...string) string {
	for _, name := range names {
		if p, ok := c.Prompts[name]; ok {
			return p
		}
	}
	return otherwise
}
