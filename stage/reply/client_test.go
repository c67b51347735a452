package reply

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/millrace-go/millrace/stage"
)

// A writer that has ended does not come back by itself: the error says so.
func TestQuestionThatIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		again bool
	}{
		"the topic is gone":  {fmt.Errorf("%w: topic", stage.ErrRefused), true},
		"the broker is away": {fmt.Errorf("%w: broker", stage.ErrUnavailable), false},
	} {
		cl := &client{waiting: newWaiting("ours-"), room: make(chan struct{}, 1)}
		q := &question{id: "ours-1", outcome: make(chan outcome, 1)}
		q.holds.Store(1) // its asker has let go
		cl.room <- struct{}{}
		if err := cl.waiting.add(q, func() {}); err != nil {
			t.Fatal(err)
		}
		cl.wrote(q, c.err)
		err := (<-q.outcome).err
		if !errors.Is(err, c.err) || strings.Contains(err.Error(), "Dial again") != c.again {
			t.Errorf("%s: %v", name, err)
		}
		if s := cl.stats(); s.Failed != 1 || s.Written != 0 || len(cl.room) != 0 {
			t.Errorf("%s: %+v, %d rooms taken", name, s, len(cl.room))
		}
	}
}
