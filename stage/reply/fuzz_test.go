package reply

import (
	"slices"
	"testing"
	"time"

	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafka"
)

// Whatever comes on the topics, it ends a question only by its id, and is
// counted once.
func FuzzHear(f *testing.F) {
	const id = "ours-1"
	for _, header := range []string{HeaderDeadline, HeaderError, HeaderID, "__connect.errors.topic", "kafka_dlt-original-topic", ""} {
		for _, given := range []string{id, "ours-2", "ours", "", "theirs-1"} {
			f.Add(true, given, header, []byte("12"), []byte("value"))
			f.Add(false, given, header, []byte{}, []byte(nil))
		}
	}
	f.Fuzz(func(t *testing.T, dead bool, given, key string, header, value []byte) {
		c := &client{waiting: newWaiting("ours-"), failures: map[string]failure{"answers": errorReply, "dead": deadLetter(&kafka.Cluster{})}}
		q := &question{id: id, outcome: make(chan outcome, 1)}
		if err := c.waiting.add(q, func() {}); err != nil {
			t.Fatal(err)
		}
		r := stage.Raw{Topic: "answers", Value: value, Headers: []stage.Header{{Key: HeaderID, Value: []byte(given)}, {Key: key, Value: header}}}
		if dead {
			r.Topic = "dead"
		}
		c.hear(&r)
		last, _ := r.Header(HeaderID)
		s := c.stats()
		n := []uint64{s.Answered, s.Failed, s.Late, s.Unclaimed, s.Foreign}
		if slices.Sort(n); n[4] != 1 || n[3] != 0 {
			t.Errorf("counted as %+v", s)
		}
		ours := string(last) == id
		if ours != (s.Answered+s.Failed == 1) || ours != (s.Waiting == 0) || ours != (len(q.outcome) == 1) {
			t.Fatalf("a reply to %q: %+v", last, s)
		}
		if !ours {
			return
		}
		failed := dead || key == HeaderError
		if o := <-q.outcome; (o.err != nil) != failed || s.Failed == 1 != failed {
			t.Errorf("outcome %+v, %+v", o, s)
		} else if failed && o.err.Error() == "" {
			t.Error("an error without a text")
		}
	})
}

func FuzzDeadline(f *testing.F) {
	for _, text := range []string{"", "0", "-1", "1764129600000", "9223372036854775807", "9223372036854775808", "1e9", " 1", "+1", "١"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		at, ok := Deadline(&stage.Raw{Headers: []stage.Header{{Key: HeaderDeadline, Value: text}}})
		if ok != !at.IsZero() || ok && !at.After(time.UnixMilli(0)) {
			t.Errorf("%q: %v, %v", text, at, ok)
		}
	})
}
