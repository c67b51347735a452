package similarity

import (
	"context"
	"errors"

	"github.com/millrace-go/millrace/similarity/vector"
	"github.com/millrace-go/millrace/stage"
)

// Collection is a [Finder] whose items change while questions are answered:
// [Index], [Refined], [File], [IVF] and [Spaces] are.
type Collection interface {
	Finder
	// Add puts items in, or replaces those of the same ids: all of them or,
	// if one is bad, none. That is stage.Permanent then.
	Add(items ...Item) error
	// Delete takes the items with these ids out. Ids that are not there are
	// no error.
	Delete(ids ...string) error
}

// Into is the sink that feeds c: a stage that reads a topic of vectors keeps
// the answers of others up to date. Each item replaces the one of its id; an
// item without a vector (the zero one) is a tombstone, and deletes.
//
// An item that c refuses is a dead letter. An item that was delivered twice is
// there once. A collection in memory is empty after a restart: let its stage
// read the topic from the beginning, in a consumer group of its own.
func Into(c Collection) stage.Sink[Item] {
	return stage.Sink[Item]{
		Targets: []stage.Target{{
			Open: func(context.Context, stage.Env) (stage.Writer, error) { return collectionWriter{c}, nil },
		}},
		Encode: func(it Item, in *stage.Raw, emit func(int, stage.Raw)) error {
			if it.ID == "" {
				return errors.New("similarity: an item without an id")
			}
			out := *in
			out.Key, out.Value = []byte(it.ID), nil
			if it.Vector.Space != "" || len(it.Vector.Values) > 0 {
				var err error
				if out.Value, err = (vector.Codec{}).Encode(it.Vector); err != nil {
					return err
				}
			}
			emit(0, out)
			return nil
		},
	}
}

type collectionWriter struct{ c Collection }

// Write puts runs of items in at once, and what lies between them away.
func (w collectionWriter) Write(recs []stage.Raw, done func(i int, err error)) {
	var items []Item
	var at []int // the items' records
	put := func() {
		if err := w.c.Add(items...); err == nil || len(items) == 1 {
			for _, i := range at {
				done(i, err)
			}
		} else { // which one is bad?
			for j, it := range items {
				done(at[j], w.c.Add(it))
			}
		}
		items, at = items[:0], at[:0]
	}
	for i, r := range recs {
		if r.Value == nil {
			put()
			done(i, w.c.Delete(string(r.Key)))
			continue
		}
		v, err := vector.Codec{}.Decode(r.Value)
		if err != nil {
			done(i, stage.Permanent(err))
			continue
		}
		items, at = append(items, Item{string(r.Key), v}), append(at, i)
	}
	put()
}

// Close has nothing to wait for: what is written is there.
func (collectionWriter) Close(context.Context) error { return nil }
