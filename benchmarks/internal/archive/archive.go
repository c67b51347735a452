// Package archive gives benchmarks the texts of a Trump Twitter Archive, and their
// vectors.
package archive

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"os"
	"regexp"
	"strings"
)

var link = regexp.MustCompile(`https?:\S*`)

// Texts reads n texts of a Trump Twitter Archive's JSON, plain or gzipped,
// spread over all of it: all different, without links and without other
// people's. It gives all of them if there are fewer.
func Texts(file string, n int) (texts []string, err error) {
	data, err := readArchive(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	var posts []struct {
		Text      string `json:"text"`
		IsRetweet bool   `json:"is_retweet"`
	}
	if err := json.Unmarshal(data, &posts); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	seen := map[string]bool{"": true}
	for _, p := range posts {
		text := strings.Join(strings.Fields(link.ReplaceAllString(html.UnescapeString(p.Text), " ")), " ")
		if p.IsRetweet || strings.HasPrefix(text, "RT @") || seen[text] {
			continue
		}
		seen[text] = true
		texts = append(texts, text)
	}
	if len(texts) == 0 {
		return nil, fmt.Errorf("%s: it has no texts", file)
	}
	n = min(n, len(texts))
	for i := range n {
		texts[i] = texts[i*len(texts)/n]
	}
	return texts[:n], nil
}

func readArchive(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	in := bufio.NewReader(f)
	if magic, _ := in.Peek(2); string(magic) != "\x1f\x8b" {
		return io.ReadAll(in)
	}
	unzipped, err := gzip.NewReader(in)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(unzipped)
}
