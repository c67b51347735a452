package stage

import (
	"errors"
	"testing"
)

// TestTaskResolves when its last output is acknowledged, by the worst that was
// said of any.
func TestTaskResolves(t *testing.T) {
	away, never := errors.New("away"), Permanent(errors.New("too large"))
	for _, c := range []struct {
		name  string
		acks  []error
		state writeState
		err   error
	}{
		{"all well", []error{nil, nil}, acked, nil},
		{"the first failed", []error{away, nil}, failed, away},
		{"the last failed", []error{nil, away}, failed, away},
		{"for good after for now", []error{away, never}, failed, never},
		{"for now after for good", []error{never, away}, failed, never},
	} {
		k := &task{out: make([]Raw, len(c.acks))}
		(&strand{}).launch(k)
		for i, err := range c.acks {
			if last := i == len(c.acks)-1; k.resolve(err) != last {
				t.Errorf("%s: resolved by answer %d of %d", c.name, i+1, len(c.acks))
			}
		}
		if k.state != c.state || !errors.Is(k.writeErr(), c.err) {
			t.Errorf("%s: state %v, error %v", c.name, k.state, k.writeErr())
		}
	}
}

// TestStrandIsIdle only when nothing at all refers to it: a strand that is
// forgotten too early meets its own key again as another strand.
func TestStrandIsIdle(t *testing.T) {
	var some queue
	some.push(&task{})
	for name, s := range map[string]strand{
		"busy":       {busy: true},
		"waiting":    {waiting: some},
		"writing":    {writing: some},
		"to rewrite": {mode: writeAgain},
	} {
		if s.idle() {
			t.Errorf("%s: idle", name)
		}
	}
	if !(&strand{}).idle() {
		t.Error("an empty strand is not idle")
	}
}
