package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/millrace-go/millrace/benchmarks/internal/results"
)

// place is where the records go through.
type place struct {
	name  string
	addrs []string
	// apart: the app's prompt and stages are processes of their own, on these
	// addresses. Otherwise the app is one process with a broker in it, and the
	// hops are one process with a broker in it: this one.
	apart bool
}

// measured is what was measured at a place, by rounds.
type measured struct {
	place
	answerBytes int
	app         [][]times
	hops        [][]float64
	busy        [][]float64 // hops whose loops are busy as long as the app's stages
}

// measure runs the app, the hops, and the busy hops by turns.
func measure(ctx context.Context, o *options, p place) (m measured, err error) {
	m.place = p
	prefix := "bench-app-" + rand.Text()[:8]
	if p.apart {
		defer func() { err = errors.Join(err, cleanUp(p.addrs, prefix)) }()
		// The app would make them, too, but a part may find them too new.
		err := createTopics(ctx, p.addrs, map[string]int32{
			prefix + ".questions": shares, prefix + ".vectors": shares, prefix + ".answers": 1, prefix + ".dead": 1,
		})
		if err != nil {
			return m, err
		}
	}
	app, err := startApp(ctx, o, p, prefix)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, app.close()) }()
	var embed, nearest []float64
	for i := range o.warmUp {
		t, size, err := app.ask(question(i))
		if err != nil {
			return m, err
		}
		embed, nearest = append(embed, t.Embed), append(nearest, t.Nearest)
		m.answerBytes = max(m.answerBytes, size)
	}
	bare, err := openHops(ctx, p.addrs, prefix+".hops", m.answerBytes, work{})
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, bare.close()) }()
	busy, err := openHops(ctx, p.addrs, prefix+".busy", m.answerBytes, work{median(embed), median(nearest)})
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, busy.close()) }()
	for _, h := range []*hops{bare, busy} {
		if _, err := turn(o.warmUp, h.asking(ctx)); err != nil {
			return m, err
		}
	}

	turns := []func() error{
		func() error {
			got, err := turn(o.questions, func(text string) (times, error) {
				t, _, err := app.ask(text)
				return t, err
			})
			m.app = append(m.app, got)
			return err
		},
		func() error {
			got, err := turn(o.questions, bare.asking(ctx))
			m.hops = append(m.hops, got)
			return err
		},
		func() error {
			got, err := turn(o.questions, busy.asking(ctx))
			m.busy = append(m.busy, got)
			return err
		},
	}
	for round := range o.rounds {
		for i := range turns {
			if err := turns[(i+round)%len(turns)](); err != nil { // each goes first in its turn
				return m, fmt.Errorf("round %d: %w", round+1, err)
			}
		}
	}
	return m, nil
}

// turn asks n questions.
func turn[T any](n int, ask func(text string) (T, error)) ([]T, error) {
	var got []T
	for i := range n {
		t, err := ask(question(i))
		if err != nil {
			return nil, err
		}
		got = append(got, t)
	}
	return got, nil
}

func (h *hops) asking(ctx context.Context) func(string) (float64, error) {
	return func(text string) (float64, error) { return h.ask(ctx, text) }
}

func median(ms []float64) time.Duration {
	return time.Duration(results.Quantile(ms, 0.5) * float64(time.Millisecond))
}

// question gives sentences as people ask them, short and long.
func question(i int) string {
	sentences := []string{
		"We will build a wall",
		"Make our country great again",
		"The media are not telling the truth",
		"Thank you to all the wonderful people who came out last night",
		"Taxes must come down for the middle class",
		"Happy birthday",
		"I met the prime minister today and we had a very good talk about trade",
		"Golf",
		"The unemployment rate is the lowest in seventeen years",
		"Nobody knows more about this than I do",
		"Our veterans deserve the best care there is",
		"They lost the election and now they look for excuses",
		"My new book is out tomorrow, and you can order it today",
		"It is very cold in New York, so where is global warming?",
		"China has been taking our jobs and our money for years",
		"A great honor",
		"Watch the interview tonight at nine",
		"The judge's decision is ridiculous and will be overturned",
		"Congratulations to the team on an incredible comeback victory",
		"Health care costs are out of control, and it is time to repeal the law and put something much better in its place",
	}
	return sentences[i%len(sentences)]
}
