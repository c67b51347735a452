// Package sample holds the posts the app answers from when it is given no
// archive: those of Rufus Quillfeather, ferryman, mayor and president of
// Carrowmere. The man, the country and everybody in it are made up.
//
// The file has the format of the Trump Twitter Archive and its blemishes
// (retweets, links, duplicates, HTML entities, many spellings of one source),
// so that cleaning it takes the same path as cleaning a real one.
package sample

import (
	_ "embed"
	"io"
	"strings"
)

// Name is what to call the sample in messages.
const Name = "posts.json"

//go:embed posts.json
var posts string

// Posts returns a new reader of the archive: a JSON array, one post a line.
func Posts() io.Reader { return strings.NewReader(posts) }
