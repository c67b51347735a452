package npy

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// header is the dictionary in front of the values, a Python literal:
//
//	{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }
type header struct {
	descr   string
	fortran bool
	shape   []int
}

func parseHeader(text string) (*header, error) {
	h := &header{}
	seen := map[string]bool{}
	rest, ok := strings.CutPrefix(strings.TrimSpace(text), "{")
	if !ok {
		return nil, errors.New("npy: the header is no dictionary")
	}
	for {
		rest = strings.TrimLeft(rest, " ,")
		if rest == "}" {
			break
		}
		key, after, err := quoted(rest)
		if err != nil {
			return nil, err
		}
		if after, ok = strings.CutPrefix(strings.TrimLeft(after, " "), ":"); !ok || seen[key] {
			return nil, fmt.Errorf("npy: the header's key %q has no value, or two", key)
		}
		seen[key] = true
		after = strings.TrimLeft(after, " ")
		switch key {
		case "descr":
			h.descr, rest, err = quoted(after)
		case "fortran_order":
			h.fortran, rest, err = boolean(after)
		case "shape":
			h.shape, rest, err = tuple(after)
		default:
			err = fmt.Errorf("npy: the header's key %q is not known", key)
		}
		if err != nil {
			return nil, err
		}
	}
	if len(seen) != 3 {
		return nil, errors.New("npy: the header must say descr, fortran_order and shape")
	}
	return h, nil
}

// quoted takes a string from the front of text.
func quoted(text string) (value, rest string, err error) {
	if text != "" && (text[0] == '\'' || text[0] == '"') {
		if end := strings.IndexByte(text[1:], text[0]); end >= 0 {
			return text[1 : 1+end], text[2+end:], nil
		}
	}
	if strings.HasPrefix(text, "[") {
		return "", "", errors.New("npy: an array of records; supported are numbers")
	}
	return "", "", errors.New("npy: the header is damaged: a string is missing")
}

func boolean(text string) (value bool, rest string, err error) {
	if rest, ok := strings.CutPrefix(text, "True"); ok {
		return true, rest, nil
	}
	if rest, ok := strings.CutPrefix(text, "False"); ok {
		return false, rest, nil
	}
	return false, "", errors.New("npy: the header's fortran_order is neither True nor False")
}

func tuple(text string) (values []int, rest string, err error) {
	inside, rest, ok := strings.Cut(text, ")")
	if inside, ok2 := strings.CutPrefix(inside, "("); ok && ok2 {
		for part := range strings.SplitSeq(inside, ",") {
			part = strings.TrimSpace(part)
			if part == "" {
				continue
			}
			n, err := strconv.ParseInt(part, 10, 32)
			if err != nil || n < 0 {
				return nil, "", fmt.Errorf("npy: the header's shape (%s) is none", inside)
			}
			values = append(values, int(n))
		}
		return values, rest, nil
	}
	return nil, "", errors.New("npy: the header's shape is no tuple")
}
