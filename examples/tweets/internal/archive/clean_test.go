package archive

import (
	"os"
	"path/filepath"
	"testing"
)

func TestCleanText(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                                "plain",
		"  two\t words\r\n and\u00a0more ":     "two words and more",
		"fish &amp; chips &lt;3 &#39;aye&#39;": "fish & chips <3 'aye'",
		"a&nbsp;b":                             "a b",
		"&amp;lt;":                             "&lt;", // once: this is what the author typed
		"see http://a.bc/d?e=1&amp;f=2 now":    "see now",
		"see HTTPS://A.BC":                     "see",
		"pic.twitter.com/abc up front":         "up front",
		"gluedhttp://a.bc/d":                   "glued",
		"cut off https:":                       "cut off",
		"cut off https:/…":                     "cut off",
		`he said "see http://a.bc/d" twice`:    `he said "see " twice`,
		"“quoted http://a.bc/d”":               "“quoted ”",
		"http without colon, a http joke":      "http without colon, a http joke",
		"flag 🇺🇳 & bee 🐝":                      "flag 🇺🇳 & bee 🐝",
	} {
		if got := cleanText(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestCleanSource(t *testing.T) {
	for in, want := range map[string]string{
		"Twitter for iPhone": "iPhone",
		`<a href="http://twitter.com/download/iphone" rel="nofollow">Twitter for iPhone</a>`: "iPhone",
		"twitter for  iPhone":     "iPhone",
		"Twitter for BlackBerry®": "BlackBerry®",
		"Twitter Web Client":      "Web",
		"Twitter Web App":         "Web",
		"web":                     "Web",
		"Mobile Web (M5)":         "Web",
		"TwitLonger Beta":         "TwitLonger",
		"Twitlonger":              "TwitLonger",
		"TweetDeck":               "TweetDeck",
		"Twitter for ":            "Twitter for",
		"TwİTTER FOR X":           "TwİTTER FOR X",
		"Bits &amp; Pieces":       "Bits & Pieces",
		"":                        "",
	} {
		if got := cleanSource(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestCleanDrops(t *testing.T) {
	var c Cleaner
	for i, test := range []struct {
		post Post
		kept bool
		want Stats
	}{
		{Post{ID: "1", Text: "Hello &amp; welcome"}, true, Stats{Read: 1, Kept: 1}},
		{Post{ID: "2", Text: "hello &  WELCOME http://a.bc"}, false, Stats{Read: 2, Kept: 1, Duplicates: 1}},
		{Post{ID: "3", Text: "Hello & welcome!"}, true, Stats{Read: 3, Kept: 2, Duplicates: 1}},
		{Post{ID: "1", Text: "another text, same ID"}, false, Stats{Read: 4, Kept: 2, Duplicates: 2}},
		{Post{ID: "4", Text: "flagged", IsRetweet: true}, false, Stats{Read: 5, Kept: 2, Duplicates: 2, Retweets: 1}},
		{Post{ID: "5", Text: " RT @someone: unflagged"}, false, Stats{Read: 6, Kept: 2, Duplicates: 2, Retweets: 2}},
		{Post{ID: "6", Text: "Please RT @someone"}, true, Stats{Read: 7, Kept: 3, Duplicates: 2, Retweets: 2}},
		{Post{ID: "7", Text: "https://a.bc/d pic.twitter.com/e"}, false, Stats{Read: 8, Kept: 3, Duplicates: 2, Retweets: 2, Empty: 1}},
		{Post{ID: "8", Text: "🐝 ... !!"}, false, Stats{Read: 9, Kept: 3, Duplicates: 2, Retweets: 2, Empty: 2}},
		{Post{ID: "9", Text: ""}, false, Stats{Read: 10, Kept: 3, Duplicates: 2, Retweets: 2, Empty: 3}},
		{Post{ID: "10", Text: "Flagged"}, true, Stats{Read: 11, Kept: 4, Duplicates: 2, Retweets: 2, Empty: 3}}, // a retweet hides nothing
		{Post{ID: "2", Text: "ID of a dropped post"}, true, Stats{Read: 12, Kept: 5, Duplicates: 2, Retweets: 2, Empty: 3}},
		{Post{ID: "11", Text: "42"}, true, Stats{Read: 13, Kept: 6, Duplicates: 2, Retweets: 2, Empty: 3}},
		{Post{ID: "12", Text: "日本"}, true, Stats{Read: 14, Kept: 7, Duplicates: 2, Retweets: 2, Empty: 3}},
	} {
		if _, kept := c.Clean(test.post); kept != test.kept || c.Stats() != test.want {
			t.Errorf("%d, %q: kept %t, %+v\nwant %t, %+v", i, test.post.Text, kept, c.Stats(), test.kept, test.want)
		}
	}
	const line = "14 posts read, 7 kept; dropped: 2 retweets, 3 without words, 2 duplicates"
	if got := c.Stats().String(); got != line {
		t.Errorf("got %q, want %q", got, line)
	}
}

func TestCleanKeepsTheRest(t *testing.T) {
	var c Cleaner
	in := Post{ID: "1", Text: "a http://b.c", Favorites: 2, Retweets: 3, Source: "Twitter for iPad"}
	want := in
	want.Text, want.Source = "a", "iPad"
	if got, ok := c.Clean(in); !ok || got != want {
		t.Errorf("got %+v, %t; want %+v", got, ok, want)
	}
}

// TestArchive runs over a real archive: ARCHIVE=file go test ./tweets/...
func TestArchive(t *testing.T) {
	name := os.Getenv("ARCHIVE")
	if name == "" {
		t.Skip("set ARCHIVE to the file of a real archive to read and clean it here")
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var c Cleaner
	for post, err := range Read(f, filepath.Base(name)) {
		if err != nil {
			t.Fatal(err)
		}
		c.Clean(post)
	}
	t.Log(c.Stats())
	if s := c.Stats(); s.Kept < s.Read/2 {
		t.Errorf("cleaning dropped more than half: %v", s)
	}
}
