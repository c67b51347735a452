package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"testing"

	"github.com/millrace-go/millrace/sink"
	"github.com/millrace-go/millrace/source"
	"github.com/millrace-go/millrace/stage"
)

// BenchmarkPassThrough runs records through a stage that does nothing, without
// a broker: the engine alone.
func BenchmarkPassThrough(b *testing.B) {
	for _, order := range []stage.Order{stage.ByKey, stage.ByPartition, stage.Unordered} {
		for _, batch := range []int{1, 64} {
			b.Run(fmt.Sprintf("%v/batch %d", order, batch), func(b *testing.B) {
				b.ReportAllocs()
				err := stage.Run(b.Context(), &stage.Stage[int, int]{
					Source: source.Seq(func(yield func(int) bool) {
						for i := range b.N {
							if !yield(i) {
								return
							}
						}
					}),
					Transform: stage.Map(func(_ context.Context, n int) (int, error) { return n, nil }),
					Sink:      sink.JSONLines[int](io.Discard),
					Order:     order,
					BatchSize: batch,
					Logger:    slog.New(slog.DiscardHandler),
				})
				if err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}
