package stage_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"

	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/stagetest"
)

// A whole stage: texts in, numbers out, what is no number set aside.
func Example() {
	var in stagetest.Source[string]
	var out stagetest.Sink[int]
	var dead stagetest.Sink[stage.DeadLetter]
	for _, s := range []string{"1", "2", "three", "4"} {
		in.Push(0, []byte("key"), s)
	}
	in.End()

	err := stage.Run(context.Background(), &stage.Stage[string, int]{
		Name:   "parse",
		Source: in.Source(),
		Transform: stage.Map(func(_ context.Context, s string) (int, error) {
			n, err := strconv.Atoi(s)
			return n, stage.Permanent(err) // trying again would not help
		}),
		Sink:        out.Sink(),
		DeadLetters: dead.Sink(),
		Logger:      slog.New(slog.DiscardHandler),
	})
	fmt.Println(out.Values(), err)
	for _, d := range dead.Values() {
		fmt.Println("dead letter:", d.Err)
	}
	// Output:
	// [1 2 4] <nil>
	// dead letter: strconv.Atoi: parsing "three": invalid syntax
}

// Then chains transforms; the types must fit.
func ExampleThen() {
	length := stage.Map(func(_ context.Context, s string) (int, error) { return len(s), nil })
	square := stage.Map(func(_ context.Context, n int) (int, error) { return n * n, nil })
	out, err := stage.Then(length, square).Transform(context.Background(), []string{"a", "bcd"})
	fmt.Println(out, err)
	// Output: [1 9] <nil>
}

// Lift lets a transform of a field work on the record around it.
func ExampleLift() {
	type post struct {
		Text   string
		Length int
	}
	length := stage.Map(func(_ context.Context, s string) (int, error) { return len(s), nil })
	posts := stage.Lift(length,
		func(p post) string { return p.Text },
		func(p post, n int) post { p.Length = n; return p })
	out, err := posts.Transform(context.Background(), []post{{Text: "hello"}})
	fmt.Println(out, err)
	// Output: [{hello 5}] <nil>
}

// ErrSkip filters.
func ExampleErrSkip() {
	short := stage.Map(func(_ context.Context, s string) (string, error) {
		if len(s) > 3 {
			return "", stage.ErrSkip
		}
		return s, nil
	})
	_, err := short.Transform(context.Background(), []string{"abc", "abcd"})
	fmt.Println(errors.Is(err, stage.ErrSkip))
	// Output: true
}
