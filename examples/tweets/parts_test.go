package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace-go/millrace/examples/tweets/internal/flow"
)

// questions makes n questions, all different, and long: the model has some
// milliseconds to do for each.
func questions(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("Question %d:%s", i, strings.Repeat(" when will the wall be finished?", 8))
	}
	return all
}

// checkAnswers tells whether lines of JSON answer the questions, each once and
// in their order.
func checkAnswers(t *testing.T, lines, questions []string) {
	t.Helper()
	if len(lines) != len(questions) {
		t.Errorf("%d answers to %d questions", len(lines), len(questions))
	}
	for i, line := range lines[:min(len(lines), len(questions))] {
		var a flow.Answer
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if a.Question != questions[i] || len(a.Hits) != 5 {
			t.Fatalf("answer %d has %d hits for %.16q, want 5 for %.16q", i, len(a.Hits), a.Question, questions[i])
		}
	}
}

// deadline is how long a question waits. A member of a group that was killed
// keeps its partitions for 10 s, sarama's session timeout.
const deadline = 90 * time.Second

// The embed process dies in the middle of a stream of questions, and another
// takes its place: at the prompt nothing is missing, double, or out of order.
func TestEmbedIsKilled(t *testing.T) {
	t.Parallel()
	const (
		before   = 80  // questions asked while the first embed process lives
		parallel = 100 // more than before: the prompt goes on asking without it
		total    = 120
		answered = 20 // so many at least, and the process is killed
	)
	address := startBroker(t)
	client := dial(t, address)
	start(t, nil, "nearest", "-brokers", address, "-data", sampleData(t))
	first := start(t, nil, "embed", "-brokers", address)
	in, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	defer func() { _ = w.Close() }()
	prompt := start(t, in, "ask", "-brokers", address, "-json", "-parallel", fmt.Sprint(parallel), "-timeout", deadline.String())

	all := questions(total)
	ask := func(questions []string) {
		if _, err := io.WriteString(w, strings.Join(questions, "\n")+"\n"); err != nil {
			t.Fatal(err)
		}
	}
	ask(all[:before])
	await(t, "answers", func() bool { return end(t, client, topics().Answers.Name) >= answered })

	// It is stopped where it is, and dies when questions have been asked that
	// it can't have seen, however fast or slow this machine is.
	if err := first.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ask(all[before:])
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	await(t, "questions that a stopped process can't embed", func() bool { return end(t, client, topics().Questions.Name) >= parallel })
	asked := end(t, client, topics().Questions.Name)
	first.kill()
	if status, ok := first.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() || status.Signal() != syscall.SIGKILL {
		t.Fatalf("the embed process ended by %v, want kill -9", first.cmd.ProcessState)
	}
	dead := producers(t, client, topics().Vectors.Name)
	embedded := end(t, client, topics().Vectors.Name)
	if len(dead) != 1 || embedded < answered || embedded >= asked {
		t.Fatalf("%d questions asked and %d embedded, by %d processes: the kill came too early or too late", asked, embedded, len(dead))
	}

	start(t, nil, "embed", "-brokers", address)
	code, lines := prompt.wait(t)
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	checkAnswers(t, lines, all)
	wrote := producers(t, client, topics().Vectors.Name)
	again := end(t, client, topics().Vectors.Name) - total
	maps.DeleteFunc(wrote, func(id, _ int64) bool { return dead[id] > 0 })
	if made := slices.Collect(maps.Values(wrote)); len(made) != 1 || made[0] < total-before {
		t.Errorf("vectors by the processes started later: %d, want at least %d by one", made, total-before)
	}
	t.Logf("killed after %d vectors, with %d questions waiting; %d were embedded again", embedded, asked-embedded, again)
}

// Two embed processes share the questions, and nobody at the prompt can tell.
func TestTwoEmbedsShareTheLoad(t *testing.T) {
	t.Parallel()
	const total = 120
	address := startBroker(t)
	client := dial(t, address)
	parts := []*process{
		start(t, nil, "nearest", "-brokers", address, "-data", sampleData(t)),
		start(t, nil, "embed", "-brokers", address),
		start(t, nil, "embed", "-brokers", address),
	}
	await(t, "two members with half of the partitions each", func() bool {
		return slices.Equal(members(t, client, "tweets.embed", topics().Questions.Name), []int{3, 3})
	})

	all := questions(total)
	code, lines, messages := runApp(t, strings.Join(all, "\n"), "ask", "-brokers", address, "-json", "-parallel", "16", "-timeout", deadline.String())
	if code != 0 {
		t.Errorf("exit code %d\n%s", code, messages)
	}
	checkAnswers(t, lines, all)
	wrote := producers(t, client, topics().Vectors.Name)
	if n := end(t, client, topics().Vectors.Name); len(wrote) != 2 || n != total {
		t.Errorf("%d vectors, by producer %v; want %d by two", n, wrote, total)
	}
	t.Logf("vectors by producer: %v", wrote)

	for _, p := range parts {
		if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range parts {
		if code, _ := p.wait(t); code != 130 {
			t.Errorf("tweets %s: exit code %d after Ctrl-C", p.name, code)
		}
	}
}
