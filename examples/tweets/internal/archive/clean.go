package archive

import (
	"crypto/sha256"
	"fmt"
	"html"
	"regexp"
	"strings"
	"unicode"
)

// A Cleaner decides post by post what is worth searching. The zero value is
// ready to use. It is not safe for concurrent use.
type Cleaner struct {
	stats Stats
	seen  map[[sha256.Size]byte]struct{} // of IDs and folded texts
}

// Stats counts what became of the posts. Each dropped post counts once, for the
// first reason that applies, in the order of the fields.
type Stats struct {
	Read       int
	Kept       int
	Retweets   int // other people's words
	Empty      int // no letter or digit once the links are gone
	Duplicates int // an ID or a text already kept
}

// String is one line for a log.
func (s Stats) String() string {
	return fmt.Sprintf("%d posts read, %d kept; dropped: %d retweets, %d without words, %d duplicates",
		s.Read, s.Kept, s.Retweets, s.Empty, s.Duplicates)
}

// Stats returns the counts so far.
func (c *Cleaner) Stats() Stats { return c.stats }

// Clean returns the post with its text and source made plain, or false when it
// is to be dropped. Of posts with equal texts the first is kept. Case does not
// tell texts apart: models whose tokenizer lower-cases give such posts the same
// vector, and the same answer twice helps nobody.
func (c *Cleaner) Clean(p Post) (Post, bool) {
	c.stats.Read++
	p.Text = cleanText(p.Text)
	p.Source = cleanSource(p.Source)
	switch {
	case p.IsRetweet || strings.HasPrefix(p.Text, "RT @"):
		c.stats.Retweets++
	case !strings.ContainsFunc(p.Text, isWord):
		c.stats.Empty++
	case c.repeated(p):
		c.stats.Duplicates++
	default:
		c.stats.Kept++
		return p, true
	}
	return Post{}, false
}

// repeated tells whether the ID or the text was kept before, and notes both.
func (c *Cleaner) repeated(p Post) bool {
	id := sha256.Sum256([]byte("id\x00" + p.ID))
	text := sha256.Sum256([]byte("text\x00" + strings.ToLower(p.Text)))
	_, sameID := c.seen[id]
	_, sameText := c.seen[text]
	if sameID || sameText {
		return true
	}
	if c.seen == nil {
		c.seen = make(map[[sha256.Size]byte]struct{})
	}
	c.seen[id] = struct{}{}
	c.seen[text] = struct{}{}
	return false
}

// A link ends at a quotation mark too, so that the quotation stays closed. No
// word boundary in front: posts have links glued to their last word.
var link = regexp.MustCompile(`(?i)(?:https?:|pic\.twitter\.com/)[^\s"“”]*`)

// cleanText unescapes first: &nbsp; is white space, and links hold &amp;.
func cleanText(s string) string {
	s = html.UnescapeString(s)
	s = link.ReplaceAllString(s, " ")
	return strings.Join(strings.Fields(s), " ")
}

func isWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

var tag = regexp.MustCompile(`<[^>]*>`)

const clientPrefix = "twitter for "

// cleanSource makes "iPhone" of "Twitter for iPhone", with or without a link
// around it. Case is folded for known names only.
func cleanSource(s string) string {
	s = strings.Join(strings.Fields(html.UnescapeString(tag.ReplaceAllString(s, ""))), " ")
	switch strings.ToLower(s) { // clients that go by several names
	case "web", "twitter web client", "twitter web app", "mobile web (m5)":
		return "Web"
	case "twitlonger", "twitlonger beta":
		return "TwitLonger"
	}
	if n := len(clientPrefix); len(s) > n && strings.EqualFold(s[:n], clientPrefix) {
		return s[n:]
	}
	return s
}
