package archive

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Post is one entry of an archive, in whichever field names it was written.
type Post struct {
	ID        string
	Text      string
	Date      time.Time // UTC
	Favorites int
	Retweets  int
	Source    string // what the post was written with
	IsRetweet bool   // as flagged by the archive; old ones flag too few: see Cleaner
}

// Dates of the old archive carry their zone. The newer one's carry none: they
// are UTC, as the clock inside the IDs shows (the upper bits of an ID count
// milliseconds).
func dateLayouts() []string { return []string{time.RubyDate, time.DateTime, time.RFC3339} }

// parsePost reads one JSON object. A *json.SyntaxError says where in data.
func parsePost(data []byte) (Post, error) {
	var f fields
	if err := json.Unmarshal(data, &f); err != nil {
		return Post{}, err
	}
	var p Post
	var errs [7]error
	p.ID, errs[0] = f.id("id_str", "id")
	p.Text, errs[1] = f.text("text")
	p.Date, errs[2] = f.date("created_at", "date")
	p.Favorites, errs[3] = f.count("favorite_count", "favorites")
	p.Retweets, errs[4] = f.count("retweet_count", "retweets")
	p.Source, errs[5] = f.optionalText("source", "device")
	p.IsRetweet, errs[6] = f.flag("is_retweet", "isRetweet")
	return p, cmp.Or(errs[:]...) // the first, which keeps the message to a line
}

// fields holds the raw values of a post. Each method takes the names a field
// goes by and reads the first that is there and not null.
type fields map[string]json.RawMessage

func (f fields) find(names []string) (name string, value json.RawMessage) {
	for _, name := range names {
		if value, ok := f[name]; ok && string(value) != "null" {
			return name, value
		}
	}
	return strings.Join(names, " or "), nil
}

func (f fields) text(names ...string) (string, error) {
	name, value := f.find(names)
	if value == nil {
		return "", fmt.Errorf("field %s is missing", name)
	}
	var s string
	if json.Unmarshal(value, &s) != nil {
		return "", fmt.Errorf("field %s is %s, not a string", name, excerpt(value))
	}
	return s, nil
}

func (f fields) optionalText(names ...string) (string, error) {
	if _, value := f.find(names); value == nil {
		return "", nil
	}
	return f.text(names...)
}

// id also takes a number, digit by digit: a float64 cannot hold a post's ID.
func (f fields) id(names ...string) (string, error) {
	name, value := f.find(names)
	id := string(value)
	if value == nil || value[0] == '"' {
		var err error
		if id, err = f.text(names...); err != nil {
			return "", err
		}
		if id == "" {
			return "", fmt.Errorf("field %s is empty", name)
		}
		return id, nil
	}
	if _, err := strconv.ParseUint(id, 10, 64); err != nil {
		return "", fmt.Errorf("field %s is %s, not an ID", name, excerpt(value))
	}
	return id, nil
}

func (f fields) date(names ...string) (time.Time, error) {
	s, err := f.text(names...)
	if err != nil {
		return time.Time{}, err
	}
	for _, layout := range dateLayouts() {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	name, value := f.find(names)
	return time.Time{}, fmt.Errorf("field %s is %s, not a date such as %q or %q",
		name, excerpt(value), time.RubyDate, time.DateTime)
}

func (f fields) count(names ...string) (int, error) {
	name, value := f.find(names)
	if value == nil {
		return 0, nil
	}
	n, err := strconv.Atoi(unquote(value))
	if err != nil || n < 0 {
		return 0, fmt.Errorf("field %s is %s, not a count", name, excerpt(value))
	}
	return n, nil
}

func (f fields) flag(names ...string) (bool, error) {
	name, value := f.find(names)
	switch unquote(value) {
	case "true", "t":
		return true, nil
	case "false", "f", "":
		return false, nil
	}
	return false, fmt.Errorf("field %s is %s, not true or false", name, excerpt(value))
}

// unquote takes off the quotes that some archives put around numbers and flags.
func unquote(value json.RawMessage) string {
	return strings.Trim(string(value), `"`)
}

// excerpt is a value short enough for an error message.
func excerpt(value json.RawMessage) string {
	const most = 60
	if len(value) <= most {
		return string(value)
	}
	return strings.ToValidUTF8(string(value[:most]), "") + "..."
}
