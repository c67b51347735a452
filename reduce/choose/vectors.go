package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/millrace-go/millrace/internal/npy"
	"github.com/millrace-go/millrace/similarity/vector"
)

// unnamed is the space of vectors whose file does not say it.
const unnamed = "unnamed"

// read reads the vectors of a file; in is standard input. space is of those
// that do not say theirs.
func read(file string, in io.Reader, space string) ([]vector.Vector, error) {
	if space == "" {
		space = unnamed
	}
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	b := bufio.NewReaderSize(in, 1<<20)
	parse := readLines
	if start, _ := b.Peek(6); bytes.Equal(start, []byte("\x93NUMPY")) {
		parse = readNumpy
	}
	vectors, err := parse(b, space)
	if err == nil && len(vectors) == 0 {
		err = errors.New("there are no vectors in it")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return vectors, nil
}

func readNumpy(in *bufio.Reader, space string) ([]vector.Vector, error) {
	a, err := npy.NewReader(in)
	if err != nil {
		return nil, err
	}
	if len(a.Shape) != 2 || a.Shape[1] == 0 {
		return nil, fmt.Errorf("an array of shape %v; want one of vectors x values", a.Shape)
	}
	values, err := npy.Values[float32](a)
	if err != nil {
		return nil, err
	}
	dim := a.Shape[1]
	vectors := make([]vector.Vector, a.Shape[0])
	for i := range vectors {
		vectors[i] = vector.Vector{Space: space, Values: values[i*dim : (i+1)*dim]}
		if err := vectors[i].Check(); err != nil {
			return nil, fmt.Errorf("row %d: %w", i, err)
		}
	}
	return vectors, nil
}

func readLines(in *bufio.Reader, space string) ([]vector.Vector, error) {
	var vectors []vector.Vector
	for line, end := 1, false; !end; line++ {
		text, err := in.ReadBytes('\n')
		if end = errors.Is(err, io.EOF); err != nil && !end {
			return nil, err
		}
		if text = bytes.TrimSpace(text); len(text) == 0 {
			continue
		}
		v, err := parseLine(text, space)
		if err == nil && len(vectors) > 0 {
			err = v.CheckIn(vectors[0].Space, len(vectors[0].Values))
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		vectors = append(vectors, v)
	}
	return vectors, nil
}

// parseLine reads a vector, or its values alone.
func parseLine(text []byte, space string) (vector.Vector, error) {
	v := vector.Vector{Space: space}
	var to any = &v
	if text[0] == '[' {
		to = &v.Values
	}
	if err := json.Unmarshal(text, to); err != nil {
		return v, fmt.Errorf("neither numpy's .npy nor a vector as JSON: %w", err)
	}
	return v, v.Check()
}
