package archive

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

func gzipped(t testing.TB, s string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func readAll(r io.Reader) (posts []Post, err error) {
	for post, e := range Read(r, "posts.json") {
		if err != nil {
			return posts, errors.New("read on after an error")
		}
		if err = e; err == nil {
			posts = append(posts, post)
		}
	}
	return posts, err
}

const (
	oldStyle = `{"source": "TweetDeck", "text": "Ahoy \u00e9", "created_at": "Sat Apr 28 20:15:05 +0200 2018",
		"retweet_count": 12, "is_retweet": true, "favorite_count": 34, "id_str": "990",
		"user": {"name": "]}\"", "tags": [1, {}]}}`
	newStyle = `{"id":"98","text":"Ahoy","isRetweet":"f","isDeleted":"t","device":"Web","favorites":49,` +
		`"retweets":"255","date":"2011-08-02 18:07:48","isFlagged":"f"}`
	small = `{"id":"1","text":"a","date":"2011-08-02 18:07:48"}`
)

func TestReadBothStyles(t *testing.T) {
	want := []Post{
		{ID: "990", Text: "Ahoy é", Date: time.Date(2018, 4, 28, 18, 15, 5, 0, time.UTC),
			Favorites: 34, Retweets: 12, Source: "TweetDeck", IsRetweet: true},
		{ID: "98", Text: "Ahoy", Date: time.Date(2011, 8, 2, 18, 7, 48, 0, time.UTC),
			Favorites: 49, Retweets: 255, Source: "Web"},
	}
	plain := "\n[" + oldStyle + " ,\r\n" + newStyle + "]\n"
	for name, in := range map[string]string{"plain": plain, "gzip": gzipped(t, plain)} {
		// A byte at a time: no decision may hang on how the input is cut.
		for cut, r := range map[string]io.Reader{"whole": strings.NewReader(in), "bytes": oneByte{strings.NewReader(in)}} {
			got, err := readAll(r)
			if err != nil {
				t.Fatalf("%s, %s: %v", name, cut, err)
			}
			if len(got) != len(want) {
				t.Fatalf("%s, %s: %d posts, want %d", name, cut, len(got), len(want))
			}
			for i := range want {
				if got[i] != want[i] {
					t.Errorf("%s, %s, post %d:\n got %+v\nwant %+v", name, cut, i, got[i], want[i])
				}
			}
		}
	}
}

type oneByte struct{ r io.Reader }

func (o oneByte) Read(p []byte) (int, error) { return o.r.Read(p[:min(1, len(p))]) }

func TestReadFieldForms(t *testing.T) {
	date := time.Date(2011, 8, 2, 18, 7, 48, 0, time.UTC)
	for _, test := range []struct {
		json string
		want Post
	}{
		{small, Post{ID: "1", Text: "a", Date: date}},
		{`{"id":98454970654916608,"text":"","date":"2011-08-02T18:07:48.000Z"}`, Post{ID: "98454970654916608", Date: date}},
		{`{"id":7,"id_str":"8","text":"a","date":"2011-08-02 18:07:48"}`, Post{ID: "8", Text: "a", Date: date}},
		{`{"id":7,"id_str":null,"text":"a","date":"2011-08-02 18:07:48"}`, Post{ID: "7", Text: "a", Date: date}},
		{`{"id":"1","text":"a","date":"2011-08-02 18:07:48","isRetweet":"t"}`, Post{ID: "1", Text: "a", Date: date, IsRetweet: true}},
		{`{"id":"1","text":"a","date":"2011-08-02 18:07:48","isRetweet":true}`, Post{ID: "1", Text: "a", Date: date, IsRetweet: true}},
		{`{"id":"1","text":"a","date":"2011-08-02 18:07:48","isRetweet":"false"}`, Post{ID: "1", Text: "a", Date: date}},
		{`{"id":"1","text":"a","date":"2011-08-02 18:07:48","is_retweet":null}`, Post{ID: "1", Text: "a", Date: date}},
		{`{"id":"1","text":"a","date":"2011-08-02 18:07:48","favorites":null,"retweets":"3"}`, Post{ID: "1", Text: "a", Date: date, Retweets: 3}},
	} {
		got, err := readAll(strings.NewReader("[" + test.json + "]"))
		if err != nil {
			t.Errorf("%s: %v", test.json, err)
		} else if len(got) != 1 || got[0] != test.want {
			t.Errorf("%s:\n got %+v\nwant %+v", test.json, got, test.want)
		}
	}
}

func TestReadErrors(t *testing.T) {
	packed := gzipped(t, "["+small+",\n"+small+"]")
	damaged := []byte(packed)
	damaged[len(damaged)-8] ^= 0xff // the checksum
	without := func(field string) string {
		return "[\n" + small + ",\n  " + strings.Replace(small, `"`+field+`"`, `"x"`, 1) + "\n]"
	}
	with := func(field string) string {
		return "[" + small + ",\n" + strings.Replace(small, "{", "{"+field+",", 1) + "]"
	}
	for name, test := range map[string]struct {
		in   string
		want []string
	}{
		"no bytes":           {"", []string{"posts.json is empty"}},
		"white space":        {" \n ", []string{"posts.json is empty"}},
		"no bytes, gzipped":  {gzipped(t, ""), []string{"posts.json is empty"}},
		"no posts":           {"[ ]", []string{"posts.json is empty", "no post"}},
		"an object":          {"\n {}", []string{"line 2, column 2", "array", "'{'"}},
		"not JSON":           {"<html>", []string{"line 1, column 1", "array", "'<'"}},
		"not a post":         {"[" + small + ",\n 5]", []string{"line 2, column 2", "'5'"}},
		"no comma":           {"[" + small + "\n" + small + "]", []string{"line 2, column 1", "','"}},
		"comma too many":     {"[" + small + ",\n]", []string{"line 2, column 1", "']'"}},
		"cut between":        {"[" + small + ",\n", []string{"line 2, column 1", "cut short"}},
		"cut after a post":   {"[" + small, []string{"line 1, column 52", "cut short"}},
		"cut in a post":      {"[" + small + ",\n" + small[:20], []string{"line 2, column 21", "cut short"}},
		"more after":         {"[" + small + "]\n[", []string{"line 2, column 1", "after the array"}},
		"broken in a line":   {`[` + small + `,{"id":"1","text":nope}]`, []string{"line 1, column 71", "'o'"}},
		"broken later":       {"[" + small + ",\n{\"id\":\n\n \"1\" \"text\":\"a\"}]", []string{"line 4, column 6", `'"'`}},
		"brace missing":      {"[" + small[:len(small)-1] + ",\n" + small + ",\n" + small + "]", []string{"line 2, column 1", "'{'"}},
		"quote missing":      {"[" + small + ",\n{\"id\":\"1\",\"text\":\"a,\n\"date\":\"x\"}," + small + "]", []string{"line 2, column 21", `'\n'`}},
		"bracket mismatched": {"[" + small + ",\n{\"id\":[}]", []string{"line 2, column 8", "'}'"}},
		"endless post":       {"[" + small + ",\n{\"id\":\"" + strings.Repeat("1", maxPost), []string{"line 2, column 1", "1048576 bytes"}},
		"endless, broken":    {"[" + small + ",\n{\"id\":'" + strings.Repeat("1", maxPost), []string{"line 2, column 7", `'\''`}},
		"id missing":         {without("id"), []string{"line 3, column 3", "id_str or id", "missing"}},
		"text missing":       {without("text"), []string{"line 3, column 3", "text", "missing"}},
		"date missing":       {without("date"), []string{"line 3, column 3", "created_at or date", "missing"}},
		"id null":            {"[{\"id\":null,\"text\":\"a\"}]", []string{"line 1, column 2", "id_str or id", "missing"}},
		"id empty":           {with(`"id_str":""`), []string{"line 2, column 1", "id_str", "empty"}},
		"id a fraction":      {with(`"id_str":1.5`), []string{"line 2", "id_str is 1.5"}},
		"text a number":      {"[{\"id\":\"1\",\"text\":5}]", []string{"line 1, column 2", "text is 5"}},
		"date not one":       {with(`"created_at":"yesterday"`), []string{"line 2", "created_at", "yesterday"}},
		"count negative":     {with(`"retweet_count":-1`), []string{"line 2", "retweet_count is -1"}},
		"count a word":       {with(`"favorites":"many"`), []string{"line 2", `favorites is "many"`}},
		"flag a number":      {with(`"isRetweet":7`), []string{"line 2", "isRetweet is 7"}},
		"source a list":      {with(`"device":["Web"]`), []string{"line 2", `device is ["Web"]`}},
		"long value":         {with(`"device":[` + strings.Repeat("1,", 500) + `1]`), []string{"line 2", "1,1..."}},
		"gzip header cut":    {packed[:5], []string{"posts.json", "gzip header"}},
		"gzip cut":           {packed[:len(packed)/2], []string{"posts.json", "gzip data ends too early"}},
		"gzip trailer cut":   {packed[:len(packed)-4], []string{"posts.json", "gzip data ends too early"}},
		"gzip damaged":       {string(damaged), []string{"posts.json", "gzip data is damaged"}},
	} {
		_, err := readAll(strings.NewReader(test.in))
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		for _, want := range append(test.want, "archive: posts.json") {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q does not say %q", name, err, want)
			}
		}
		if n := len(err.Error()); n > 300 {
			t.Errorf("%s: an error of %d characters", name, n)
		}
	}
}

func TestReadPassesReadErrors(t *testing.T) {
	cause := errors.New("disk on fire")
	posts, err := readAll(io.MultiReader(strings.NewReader("["+small+","), failing{cause}))
	if !errors.Is(err, cause) || len(posts) != 1 {
		t.Errorf("%d posts and %v, want 1 and %v", len(posts), err, cause)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestReadStopsWhenTold(t *testing.T) {
	n := 0
	for _, err := range Read(io.MultiReader(strings.NewReader("["+small+","), failing{io.ErrClosedPipe}), "posts.json") {
		if err != nil {
			t.Fatal(err)
		}
		n++
		break
	}
	if n != 1 {
		t.Errorf("%d posts, want 1", n)
	}
}

// However many posts there are, no more than one is held.
func TestReadStreams(t *testing.T) {
	const n = 20_000
	in := "[" + strings.Repeat(small+",\n", n-1) + small + "]"
	s := &scanner{name: "posts.json", next: position{1, 1}}
	if err := s.open(strings.NewReader(in)); err != nil {
		t.Fatal(err)
	}
	var err error
	for err == nil {
		_, err = s.post()
	}
	if !errors.Is(err, errEnd) || s.posts != n || s.next.line != n || cap(s.buf) > 2*len(small) {
		t.Errorf("%v after %d posts and %d lines, %d bytes held; want %d of each and one post held",
			err, s.posts, s.next.line, cap(s.buf), n)
	}
}

func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		"", "[]", "[" + oldStyle + "," + newStyle + "]", "[" + small + ",\n", `[{"id":"\`, `[{"id":[{]`, "\x1f\x8b",
	} {
		f.Add([]byte(seed))
		f.Add([]byte(gzipped(f, seed)))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var cleaner Cleaner
		posts := 0
		failed := false
		for post, err := range Read(bytes.NewReader(in), "fuzz") {
			if failed {
				t.Fatal("read on after an error")
			}
			if err != nil {
				failed = true
				if !strings.HasPrefix(err.Error(), "archive: fuzz") {
					t.Errorf("%q names no archive", err)
				}
				continue
			}
			posts++
			if post.ID == "" || post.Date.Location() != time.UTC || post.Retweets < 0 || post.Favorites < 0 {
				t.Errorf("not a post: %+v", post)
			}
			if p, ok := cleaner.Clean(post); ok && p.Text == "" {
				t.Errorf("kept without text: %+v", p)
			}
		}
		if posts == 0 && !failed {
			t.Error("neither a post nor an error")
		}
		s := cleaner.Stats()
		if s.Read != posts || s.Kept+s.Retweets+s.Empty+s.Duplicates != posts {
			t.Errorf("%d posts, counted %+v", posts, s)
		}
	})
}
