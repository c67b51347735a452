package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace-go/millrace/examples/tweets/internal/flow"
)

func TestAnswersForPeople(t *testing.T) {
	t.Parallel()
	code, out, messages := runApp(t, "We will build a wall\n", "-data", sampleData(t))
	if code != 0 {
		t.Fatalf("exit code %d, %s", code, messages)
	}
	text := strings.Join(out, "\n")
	for _, want := range []string{"We will build a wall\n  1. ", "\n  5. ", "similarity 0.", " favourites ", " retweets", " ms: embed "} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q on standard output:\n%s", want, text)
		}
	}
	if strings.Contains(text, "  6. ") || strings.Contains(text, "ready") {
		t.Errorf("more than five hits, or progress, on standard output:\n%s", text)
	}
	if !strings.Contains(messages, "tweets are ready") {
		t.Errorf("no progress on standard error: %q", messages)
	}
}

// keys gives the keys of an object of a JSON text.
func keys(t *testing.T, text []byte) []string {
	t.Helper()
	var object map[string]json.RawMessage
	if err := json.Unmarshal(text, &object); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return slices.Sorted(maps.Keys(object))
}

func TestAnswersAsJSON(t *testing.T) {
	t.Parallel()
	questions := []string{"We will build a wall", `she said "no" & <left>`, "Ein Satz auf Deutsch 🧱", strings.Repeat("very long ", 2000)}
	code, out, messages := runApp(t, "\n"+strings.Join(questions, "\r\n\n \n"), // the last line has no end
		"-data", sampleData(t), "-json", "-k", "3", "-parallel", "3")
	if code != 0 || len(out) != len(questions) {
		t.Fatalf("exit code %d and %d lines for %d questions\n%s", code, len(out), len(questions), messages)
	}
	for i, line := range out {
		var parts struct {
			Hits []json.RawMessage
			MS   json.RawMessage
		}
		if err := json.Unmarshal([]byte(line), &parts); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		if got, want := keys(t, []byte(line)), []string{"hits", "ms", "question"}; !slices.Equal(got, want) {
			t.Errorf("an answer has %v, want %v", got, want)
		}
		if got, want := keys(t, parts.MS), []string{"embed", "nearest", "total"}; !slices.Equal(got, want) {
			t.Errorf("ms has %v, want %v", got, want)
		}
		if len(parts.Hits) != 3 {
			t.Fatalf("%d hits, want 3", len(parts.Hits))
		}
		for _, hit := range parts.Hits {
			if got, want := keys(t, hit), []string{"date", "distance", "favorites", "id", "retweets", "similarity", "text"}; !slices.Equal(got, want) {
				t.Errorf("a hit has %v, want %v", got, want)
			}
		}

		var a flow.Answer
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Fatal(err)
		}
		if want := strings.TrimSpace(questions[i]); a.Question != want {
			t.Errorf("answer %d is to %.40q, want %.40q", i, a.Question, want)
		}
		if a.MS.Embed <= 0 || a.MS.Nearest <= 0 || a.MS.Total < a.MS.Embed+a.MS.Nearest {
			t.Errorf("times %+v", a.MS)
		}
		for j, h := range a.Hits {
			if _, err := time.Parse(time.DateOnly, h.Date); err != nil || h.ID == "" || h.Text == "" {
				t.Errorf("hit %+v", h)
			}
			if math.Abs(h.Similarity-(1-h.Distance*h.Distance/2)) > 1e-9 || h.Similarity < -1 || h.Similarity > 1 {
				t.Errorf("distance %v and similarity %v do not fit", h.Distance, h.Similarity)
			}
			if j > 0 && h.Distance < a.Hits[j-1].Distance {
				t.Errorf("hit %d is nearer than the one before", j)
			}
		}
	}
}

func TestVeryPopularTweetsAreMarked(t *testing.T) {
	var out bytes.Buffer
	a := &app{out: &out}
	if err := a.print(flow.Answer{Question: "q", Hits: []flow.Hit{
		{Text: "quiet", Retweets: 10_000, Favorites: 999}, {Text: "loud", Retweets: 10_001, Favorites: 1_234_567},
	}}); err != nil {
		t.Fatal(err)
	}
	quiet, loud, _ := strings.Cut(out.String(), "loud")
	if strings.Contains(quiet, "popular") || !strings.Contains(loud, "10,001 retweets  ★ very popular\n") ||
		!strings.Contains(loud, "1,234,567 favourites") || !strings.Contains(quiet, "999 favourites  10,000 retweets\n") {
		t.Errorf("printed:\n%s", out.String())
	}
}

func TestNoQuestions(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"", "\n \n\t\n"} {
		code, out, messages := runApp(t, in, "-data", sampleData(t))
		if code != 1 || len(out) != 0 || !strings.Contains(messages, "no question on standard input") {
			t.Errorf("input %q: exit code %d, output %q, messages %q", in, code, out, messages)
		}
	}
}

// The first Ctrl-C ends a prompt whose input goes on, and what is behind it.
func TestInterruptedWhileReading(t *testing.T) {
	t.Parallel()
	in, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	defer func() { _ = w.Close() }() // kept open until the process has ended
	p := start(t, in, "-data", sampleData(t), "-json")
	if _, err := io.WriteString(w, "We will build a wall\n"); err != nil {
		t.Fatal(err)
	}
	p.line(t)
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if code, out := p.wait(t); code != 130 || len(out) != 0 {
		t.Errorf("exit code %d, output %q", code, out)
	}
}

// What is said about wrong flags needs no process.
func TestFlags(t *testing.T) {
	for _, c := range []struct {
		args string
		code int
		want []string
	}{
		{"-h", 0, []string{"usage: tweets", "prepare", "broker", "embed", "nearest", "ask", "-archive", "-brokers", "-json"}},
		{"ask -h", 0, []string{"usage: tweets"}},
		{"fly", 2, []string{`unknown command "fly"`, "-h"}},
		{"prepare -fly", 2, []string{"-fly"}},
		{"-k 0", 2, []string{"-k"}},
		{"-k x", 2, []string{"-k"}},
		{"-sizes 10,x,-3", 2, []string{`-sizes: "x"`, `-sizes: "-3"`}},
		{"-dims -1 -timeout 0s -parallel 0 -topics= -finder maps", 2, []string{"-dims", "-timeout", "-parallel", "-topics", "-finder"}},
		{"-json prepare", 2, []string{`unexpected argument "prepare"`, "after the command"}},
		{"ask", 1, []string{"-brokers"}},
		{"embed", 1, []string{"-brokers"}},
		{"nearest", 1, []string{"-brokers"}},
		{"cost", 1, []string{"-price", "TiB"}},
	} {
		var out, errs bytes.Buffer
		code := run(t.Context(), strings.Fields(c.args), strings.NewReader(""), &out, &errs)
		if code != c.code || out.Len() > 0 {
			t.Errorf("tweets %s: exit code %d, want %d; standard output %q", c.args, code, c.code, out.String())
		}
		for _, want := range c.want {
			if !strings.Contains(errs.String(), want) {
				t.Errorf("tweets %s: no %q in:\n%s", c.args, want, errs.String())
			}
		}
	}
}

func TestBrokenInput(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	broken := write("broken.json", "[\n"+`{"id_str":"1","text":"one","created_at":"Tue Jan 20 12:00:00 +0000 2015"},`+"\n"+`{"id_str":"2","text":}`+"\n]")
	small := write("small.json", `[{"id_str":"1","text":"one","created_at":"Tue Jan 20 12:00:00 +0000 2015"}]`)
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"-archive", broken}, []string{"broken.json", "line 3"}},
		{[]string{"prepare", "-archive", broken}, []string{"broken.json", "line 3"}},
		{[]string{"-archive", filepath.Join(dir, "none.json")}, []string{"none.json", "no such file"}},
		{[]string{"prepare", "-archive", small}, []string{"150 dimensions", "1 posts", "-sizes"}},
		{[]string{"prepare", "-model", dir}, []string{dir, "modules.json"}},
		{[]string{"prepare", "-model", filepath.Join(dir, "none")}, []string{filepath.Join(dir, "none")}},
		{[]string{"-model", "no-such-model"}, []string{"no-such-model"}},
		{[]string{"nearest", "-brokers", "127.0.0.1:1"}, []string{"not prepared", "tweets prepare"}},
	} {
		data := filepath.Join(t.TempDir(), "data")
		code, out, messages := runApp(t, "hello\n", append(c.args, "-data", data)...)
		if code != 1 || len(out) > 0 {
			t.Errorf("tweets %v: exit code %d, output %q", c.args, code, out)
		}
		for _, want := range c.want {
			if !strings.Contains(messages, want) {
				t.Errorf("tweets %v: no %q in %q", c.args, want, messages)
			}
		}
	}
}

// Nobody listens: every part says so by itself, and ends.
func TestNoBroker(t *testing.T) {
	t.Parallel()
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	data := sampleData(t)
	var parts []*process
	for _, command := range []string{"ask", "embed", "nearest", "-json"} {
		parts = append(parts, start(t, strings.NewReader("hello\n"), command, "-brokers", address, "-data", data))
	}
	for _, p := range parts {
		code, out := p.wait(t)
		if code != 1 || len(out) > 0 || !strings.Contains(p.messages(), "no broker answers at "+address) {
			t.Errorf("tweets %s: exit code %d, output %q, messages %q", p.name, code, out, p.messages())
		}
	}
}

func TestPortInUse(t *testing.T) {
	t.Parallel()
	address := startBroker(t)
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	code, _, messages := runApp(t, "", "broker", "-port", port)
	if code != 1 || !strings.Contains(messages, "in use") {
		t.Errorf("exit code %d, messages %q", code, messages)
	}
}

// A question that is not answered is told, and counted in the exit code.
func TestNobodyAnswers(t *testing.T) {
	t.Parallel()
	address := startBroker(t)
	code, out, messages := runApp(t, "one\ntwo\n", "ask", "-brokers", address, "-timeout", "100ms", "-parallel", "2")
	if code != 1 || len(out) > 0 {
		t.Errorf("exit code %d, output %q", code, out)
	}
	for _, want := range []string{`"one": reply: no answer`, `"two": reply: no answer`, "2 of 2 questions were not answered"} {
		if !strings.Contains(messages, want) {
			t.Errorf("no %q in %q", want, messages)
		}
	}
}
