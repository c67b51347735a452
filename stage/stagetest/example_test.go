package stagetest_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/stagetest"
)

// A second run over the same source reads what the first one left.
func Example() {
	var in stagetest.Source[string]
	var out stagetest.Sink[string]
	upper := &stage.Stage[string, string]{
		Source:    in.Source(),
		Transform: stage.Map(func(_ context.Context, s string) (string, error) { return strings.ToUpper(s), nil }),
		Sink:      out.Sink(),
	}
	in.End()
	for _, s := range []string{"first", "second"} {
		in.Push(0, []byte("key"), s)
		if err := stage.Run(context.Background(), upper); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println(out.Values(), in.Committed(0))
	// Output: [FIRST SECOND] 2
}
