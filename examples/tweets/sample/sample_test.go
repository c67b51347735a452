package sample_test

import (
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/millrace-go/millrace/examples/tweets/internal/archive"
	"github.com/millrace-go/millrace/examples/tweets/sample"
)

func TestPosts(t *testing.T) {
	first := time.Date(2011, 1, 1, 0, 0, 0, 0, time.UTC)
	last := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	ids := make(map[string]bool)
	before := first
	popular, liked, quiet := 0, 0, 0
	for p, err := range archive.Read(sample.Posts(), sample.Name) {
		if err != nil {
			t.Fatal(err)
		}
		if ids[p.ID] {
			t.Errorf("post %s: its ID is not unique", p.ID)
		}
		ids[p.ID] = true
		if p.Date.Before(before) || !p.Date.Before(last) {
			t.Errorf("post %s: %v is out of order or outside the years 2011 to 2019", p.ID, p.Date)
		}
		before = p.Date
		if n := utf8.RuneCountInString(p.Text); n == 0 || n > 280 {
			t.Errorf("post %s: %d characters", p.ID, n)
		}
		if p.Source == "" {
			t.Errorf("post %s: no source", p.ID)
		}
		switch {
		case p.Retweets > 10_000:
			popular++
		case p.Retweets > 100:
			liked++
		default:
			quiet++
		}
	}
	if popular != 10 || liked != 59 || quiet != 367 {
		t.Errorf("%d posts above 10,000 retweets, %d above 100, %d below; want 10, 59, 367", popular, liked, quiet)
	}
}

// The weekday is written beside the date, and time.Parse does not compare them.
func TestWeekdays(t *testing.T) {
	posts, err := io.ReadAll(sample.Posts())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(posts)) {
		_, after, ok := strings.Cut(line, `"created_at": "`)
		if !ok {
			continue
		}
		n++
		written, _, _ := strings.Cut(after, `"`)
		date, err := time.Parse(time.RubyDate, written)
		if err != nil {
			t.Error(err)
		} else if got := date.Format(time.RubyDate); got != written {
			t.Errorf("%s is a %s", written, got[:3])
		}
	}
	if n != 436 {
		t.Errorf("%d lines with a date, want 436", n)
	}
}

func TestCleaned(t *testing.T) {
	var c archive.Cleaner
	sources := make(map[string]int)
	for p, err := range archive.Read(sample.Posts(), sample.Name) {
		if err != nil {
			t.Fatal(err)
		}
		if p, ok := c.Clean(p); ok {
			sources[p.Source]++
			if strings.Contains(p.Text, "&amp;") || strings.Contains(p.Text, ".invalid") {
				t.Errorf("post %s is not clean: %s", p.ID, p.Text)
			}
		}
	}
	want := archive.Stats{Read: 436, Kept: 414, Retweets: 9, Empty: 7, Duplicates: 6}
	if c.Stats() != want {
		t.Errorf("got %v\nwant %v", c.Stats(), want)
	}
	if len(sources) != 9 {
		t.Errorf("%d sources, want 9: %v", len(sources), sources)
	}
}
