package flow

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace-go/millrace/examples/tweets/internal/archive"
	"github.com/millrace-go/millrace/similarity"
	"github.com/millrace-go/millrace/similarity/vector"
	"github.com/millrace-go/millrace/sink"
	"github.com/millrace-go/millrace/source"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafka"
)

// Embed is the stage from questions to vectors. model may reduce the vectors,
// too.
func Embed(c *kafka.Cluster, t Topics, model stage.Transform[string, vector.Vector], log *slog.Logger) stage.Runner {
	return &stage.Stage[stage.Record[string], stage.Record[vector.Vector]]{
		Name:        "embed",
		Source:      source.WithRecord(source.Kafka(c, t.Questions, t.prefix+".embed")),
		Transform:   stage.Lift(timed(stage.Then(notEmpty(), model)), question, withVector),
		Sink:        sink.FromRecord(sink.Kafka(c, t.Vectors)),
		DeadLetters: sink.DeadLetters(c, t.Dead),
		BatchSize:   32,
		Workers:     1, // all cores work on one question
		Retry:       retry(),
		Logger:      log,
	}
}

// Nearest is the stage from vectors to answers. search may reduce the vectors
// before it looks.
func Nearest(c *kafka.Cluster, t Topics, search stage.Transform[vector.Vector, []similarity.Hit], posts map[string]archive.Post, log *slog.Logger) stage.Runner {
	return &stage.Stage[stage.Record[vector.Vector], Answer]{
		Name:        "nearest",
		Source:      source.WithRecord(source.Kafka(c, t.Vectors, t.prefix+".nearest")),
		Transform:   stage.Lift(timed(search), query, answerFrom(posts)),
		Sink:        sink.Kafka(c, t.Answers),
		DeadLetters: sink.DeadLetters(c, t.Dead),
		BatchSize:   32,
		Retry:       retry(),
		Logger:      log,
	}
}

// retry gives up soon: somebody is waiting at the prompt.
func retry() stage.Retry { return stage.Retry{Attempts: 3} }

func notEmpty() stage.Transform[string, string] {
	return stage.Map(func(_ context.Context, s string) (string, error) {
		if strings.TrimSpace(s) == "" {
			return "", stage.Permanent(errors.New("the question is empty"))
		}
		return s, nil
	})
}

// took is a result and how long its batch was in the transform.
type took[T any] struct {
	value T
	ms    float64
}

// timed measures a transform.
func timed[A, B any](t stage.Transform[A, B]) stage.Transform[A, took[B]] {
	return stage.TransformFunc[A, took[B]](func(ctx context.Context, in []A) ([]took[B], error) {
		begun := time.Now()
		out, err := t.Transform(ctx, in)
		ms := float64(time.Since(begun).Microseconds()) / 1000
		results := make([]took[B], len(out))
		for i, v := range out {
			results[i] = took[B]{v, ms}
		}
		return results, err
	})
}

func question(r stage.Record[string]) string { return r.Value }

func withVector(r stage.Record[string], v took[vector.Vector]) stage.Record[vector.Vector] {
	out := stage.Record[vector.Vector]{Value: v.value, Raw: r.Raw}
	out.Headers = append(slices.Clip(r.Headers), stage.Header{
		Key: headerEmbedMS, Value: strconv.AppendFloat(nil, v.ms, 'f', 3, 64),
	})
	return out
}

func query(r stage.Record[vector.Vector]) vector.Vector { return r.Value }

func answerFrom(posts map[string]archive.Post) func(stage.Record[vector.Vector], took[[]similarity.Hit]) Answer {
	return func(r stage.Record[vector.Vector], found took[[]similarity.Hit]) Answer {
		text, _ := r.Header(HeaderQuestion)
		a := Answer{
			Question: string(text),
			Hits:     make([]Hit, len(found.value)),
			MS:       Times{Embed: milliseconds(&r.Raw, headerEmbedMS), Nearest: found.ms},
		}
		for i, h := range found.value {
			p := posts[h.ID]
			a.Hits[i] = Hit{
				ID: h.ID, Text: p.Text, Date: p.Date.Format(time.DateOnly),
				Favorites: p.Favorites, Retweets: p.Retweets,
				Distance: h.Distance, Similarity: 1 - h.Distance*h.Distance/2,
			}
		}
		return a
	}
}
