package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/peterh/liner"

	"github.com/millrace-go/millrace/examples/tweets/internal/flow"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafka"
	"github.com/millrace-go/millrace/stage/reply"
)

// asker asks the stages.
type asker = reply.Asker[string, flow.Answer]

func (a *app) dial(ctx context.Context, c *kafka.Cluster) (*asker, error) {
	t := a.flow()
	return reply.Dial(ctx, c, t.Questions, t.Answers, reply.Options{DeadLetters: []string{t.Dead}, Timeout: a.timeout, Logger: a.log})
}

// prompt answers questions until they end: at a terminal one by one, otherwise
// line by line, -parallel at a time.
func (a *app) prompt(ctx context.Context, asker *asker) error {
	if file, ok := a.in.(*os.File); ok {
		if info, err := file.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			return a.terminal(ctx, asker)
		}
	}
	return a.lines(ctx, asker)
}

// terminal has line editing and a history.
func (a *app) terminal(ctx context.Context, asker *asker) error {
	a.report.Say("a sentence, and Enter; Ctrl-D ends")
	line := liner.NewLiner()
	defer func() { _ = line.Close() }() // puts the terminal back
	line.SetCtrlCAborts(true)
	for ctx.Err() == nil {
		text, err := line.Prompt("> ")
		switch {
		case errors.Is(err, io.EOF) || errors.Is(err, liner.ErrPromptAborted):
			return nil
		case err != nil:
			return fmt.Errorf("prompt: %w", err)
		case strings.TrimSpace(text) == "":
			a.report.Say("an empty sentence is similar to nothing; type a few words")
			continue
		}
		line.AppendHistory(text)
		answer, err := a.question(ctx, asker, text)
		if err != nil {
			a.report.Say("%v", err)
			continue
		}
		if err := a.print(answer); err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

// asked is a line of input on its way.
type asked struct {
	text   string
	answer flow.Answer
	err    error
	done   chan struct{}
}

// lines answers lines of input in their order. A question that fails does not
// end it, but the exit code tells.
func (a *app) lines(ctx context.Context, asker *asker) error {
	inLine := make(chan *asked, a.parallel-1) // with the one being printed, -parallel
	var readErr error
	go func() {
		defer close(inLine)
		readErr = a.readLines(ctx, asker, inLine)
	}()
	total, failed := 0, 0
	for {
		var q *asked
		select {
		case q = <-inLine:
		case <-ctx.Done(): // nobody waits for input that goes on
		}
		if q == nil {
			break
		}
		<-q.done
		total++
		switch {
		case q.err == nil:
			if err := a.print(q.answer); err != nil {
				return err
			}
		case ctx.Err() == nil:
			failed++
			a.report.Say("%q: %v", q.text, q.err)
		}
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case readErr != nil:
		return readErr
	case total == 0:
		return errors.New("no question on standard input; give one a line")
	case failed > 0:
		return fmt.Errorf("%d of %d questions were not answered", failed, total)
	}
	return nil
}

func (a *app) readLines(ctx context.Context, asker *asker, inLine chan<- *asked) error {
	r := bufio.NewReader(a.in)
	for {
		text, err := r.ReadString('\n')
		if text = strings.TrimSpace(text); text != "" {
			q := &asked{text: text, done: make(chan struct{})}
			select {
			case inLine <- q:
			case <-ctx.Done():
				return nil
			}
			go func() {
				defer close(q.done)
				q.answer, q.err = a.question(ctx, asker, q.text)
			}()
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("standard input: %w", err)
		}
	}
}

// question asks one, and adds up its time.
func (a *app) question(ctx context.Context, asker *asker, text string) (flow.Answer, error) {
	begun := time.Now()
	answer, err := asker.Ask(ctx, text, stage.Header{Key: flow.HeaderQuestion, Value: []byte(text)})
	answer.MS.Total = float64(time.Since(begun).Microseconds()) / 1000
	return answer, err
}

// popular is how many retweets make a tweet very popular.
const popular = 10_000

// print writes an answer for people, or as a line of JSON.
func (a *app) print(answer flow.Answer) error {
	if a.json {
		enc := json.NewEncoder(a.out)
		enc.SetEscapeHTML(false)
		return enc.Encode(answer)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", answer.Question)
	for i, h := range answer.Hits {
		mark := ""
		if h.Retweets > popular {
			mark = "  ★ very popular"
		}
		fmt.Fprintf(&b, "%3d. %s\n     similarity %.2f  %s  %s favourites  %s retweets%s\n",
			i+1, h.Text, h.Similarity, h.Date, thousands(h.Favorites), thousands(h.Retweets), mark)
	}
	ms := answer.MS
	fmt.Fprintf(&b, "     %.1f ms: embed %.1f, nearest %.1f, Kafka and the rest %.1f\n\n",
		ms.Total, ms.Embed, ms.Nearest, ms.Total-ms.Embed-ms.Nearest)
	_, err := io.WriteString(a.out, b.String())
	return err
}

// thousands writes 12345 as 12,345.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
