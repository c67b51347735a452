package flow_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace-go/millrace/examples/tweets/internal/archive"
	"github.com/millrace-go/millrace/examples/tweets/internal/flow"
	"github.com/millrace-go/millrace/similarity"
	"github.com/millrace-go/millrace/similarity/vector"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafkatest"
	"github.com/millrace-go/millrace/stage/reply"
)

const space = "lengths"

// nap is how long the stand-in model takes at least.
const nap = 2 * time.Millisecond

// lengths stands in for the model: a text's vector is its number of bytes.
func lengths() stage.Transform[string, vector.Vector] {
	return stage.Map(func(_ context.Context, s string) (vector.Vector, error) {
		time.Sleep(nap)
		return vector.Vector{Space: space, Values: []float32{float32(len(s)), 1}}, nil
	})
}

var posts = map[string]archive.Post{
	"ten":    {ID: "ten", Text: "ten letters", Date: time.Date(2015, 1, 20, 23, 0, 0, 0, time.UTC), Favorites: 3, Retweets: 4},
	"twenty": {ID: "twenty", Text: "twenty letters", Date: time.Date(2016, 2, 1, 0, 0, 0, 0, time.UTC)},
}

// index has a post at ten letters and one at twenty.
func index(t *testing.T) *similarity.Index {
	t.Helper()
	x := similarity.NewIndex(similarity.Euclidean)
	for id, n := range map[string]float32{"ten": 10, "twenty": 20} {
		if err := x.Add(similarity.Item{ID: id, Vector: vector.Vector{Space: space, Values: []float32{n, 1}}}); err != nil {
			t.Fatal(err)
		}
	}
	return x
}

// open runs both stages on a broker, as long as the test.
func open(t *testing.T) (*kafkatest.Broker, flow.Topics) {
	t.Helper()
	b := kafkatest.Start(t)
	topics := flow.TopicsOf("test")
	if err := topics.Create(t.Context(), b.Cluster()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	log := slog.New(slog.DiscardHandler)
	var running sync.WaitGroup
	running.Go(func() {
		c := b.Cluster()
		err := stage.Run(ctx, flow.Embed(c, topics, lengths(), log),
			flow.Nearest(c, topics, similarity.Nearest(index(t), 2), posts, log))
		if err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	return b, topics
}

func header(key, value string) stage.Header { return stage.Header{Key: key, Value: []byte(value)} }

// question is a record as a prompt writes it, and with a header of another's.
func question(id, text string) stage.Raw {
	return stage.Raw{Key: []byte(id), Value: []byte(text), Headers: []stage.Header{
		header(reply.HeaderID, id), header(flow.HeaderQuestion, text), header("traceparent", "00-"+id),
	}}
}

func get(t *testing.T, r stage.Raw, key string) string {
	t.Helper()
	v, ok := r.Header(key)
	if !ok {
		t.Errorf("record %q has no header %q, only %v", r.Key, key, r.Headers)
	}
	return string(v)
}

// checkTravelled tells whether key and headers of a question came along.
func checkTravelled(t *testing.T, r stage.Raw, id, text string) {
	t.Helper()
	want := question(id, text)
	if string(r.Key) != id {
		t.Errorf("key %q, want %q", r.Key, id)
	}
	for _, h := range want.Headers {
		if got := get(t, r, h.Key); got != string(h.Value) {
			t.Errorf("header %s is %q, want %q", h.Key, got, h.Value)
		}
	}
}

func TestQuestionToAnswer(t *testing.T) {
	t.Parallel()
	b, topics := open(t)
	const text = "wäll &\x00 🧱" // 13 bytes
	b.Produce(t, topics.Questions.Name, question("q1", text))
	r := b.Consume(t, topics.Answers.Name, 1)[0]
	checkTravelled(t, r, "q1", text)
	a, err := topics.Answers.Codec.Decode(r.Value)
	if err != nil {
		t.Fatal(err)
	}
	want := []flow.Hit{
		{ID: "ten", Text: "ten letters", Date: "2015-01-20", Favorites: 3, Retweets: 4, Distance: 3, Similarity: 1 - 9./2},
		{ID: "twenty", Text: "twenty letters", Date: "2016-02-01", Distance: 7, Similarity: 1 - 49./2},
	}
	if !slices.Equal(a.Hits, want) {
		t.Errorf("hits %+v, want %+v", a.Hits, want)
	}
	if a.Question != text {
		t.Errorf("question %q, want %q", a.Question, text)
	}
	if least := float64(nap.Milliseconds()); a.MS.Embed < least || a.MS.Nearest <= 0 || a.MS.Total != 0 {
		t.Errorf("times %+v: the model took %v at least, and the total is the prompt's to say", a.MS, least)
	}
	if n := b.End(t, topics.Dead); n != 0 {
		t.Errorf("%d dead letters", n)
	}
}

func TestVectorsBetweenTheStages(t *testing.T) {
	t.Parallel()
	b, topics := open(t)
	b.Produce(t, topics.Questions.Name, question("q1", "hello"))
	r := b.Consume(t, topics.Vectors.Name, 1)[0]
	checkTravelled(t, r, "q1", "hello")
	v, err := topics.Vectors.Codec.Decode(r.Value)
	if err != nil || v.Space != space || !slices.Equal(v.Values, []float32{5, 1}) {
		t.Errorf("vector %+v, %v", v, err)
	}
	if ms, err := strconv.ParseFloat(get(t, r, "embed-ms"), 64); err != nil || ms < float64(nap.Milliseconds()) {
		t.Errorf("embed-ms %v, %v", ms, err)
	}
}

// checkDead tells whether a record became a dead letter for the right reason.
func checkDead(t *testing.T, r stage.Raw, name, step string, reasons ...string) {
	t.Helper()
	if got := get(t, r, "__connect.errors.connector.name"); got != name {
		t.Errorf("stage %q, want %q", got, name)
	}
	if got := get(t, r, "__connect.errors.stage"); got != step {
		t.Errorf("step %q, want %q", got, step)
	}
	if got := get(t, r, "millrace.errors.attempts"); got != "1" {
		t.Errorf("tried %s times what can never be", got)
	}
	got := get(t, r, "__connect.errors.exception.message")
	for _, want := range reasons {
		if !strings.Contains(got, want) {
			t.Errorf("reason %q, want one with %q", got, want)
		}
	}
}

func TestEmptyQuestions(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", " \t\r\n"} {
		b, topics := open(t)
		b.Produce(t, topics.Questions.Name, question("q1", text))
		r := b.Consume(t, topics.Dead, 1)[0]
		checkTravelled(t, r, "q1", text)
		checkDead(t, r, "embed", "transform", "the question is empty")
		if string(r.Value) != text {
			t.Errorf("dead letter of %q is %q", text, r.Value)
		}
	}
}

func TestQuestionThatIsNoText(t *testing.T) {
	t.Parallel()
	b, topics := open(t)
	const text = "W\xe4nde" // ISO 8859-1
	b.Produce(t, topics.Questions.Name, question("q1", text))
	r := b.Consume(t, topics.Dead, 1)[0]
	checkTravelled(t, r, "q1", text)
	checkDead(t, r, "embed", "decode", "UTF-8")
	if string(r.Value) != text {
		t.Errorf("dead letter of %q is %q", text, r.Value)
	}
}

func TestVectorOfAnotherSpace(t *testing.T) {
	t.Parallel()
	b, topics := open(t)
	value, err := topics.Vectors.Codec.Encode(vector.Vector{Space: "another model", Values: []float32{1, 2}})
	if err != nil {
		t.Fatal(err)
	}
	in := question("q1", "hello")
	in.Value = value
	b.Produce(t, topics.Vectors.Name, in)
	r := b.Consume(t, topics.Dead, 1)[0]
	checkTravelled(t, r, "q1", "hello")
	checkDead(t, r, "nearest", "transform", `"another model"`, `"`+space+`"`)
	if string(r.Value) != string(value) {
		t.Error("the dead letter's value is not the record's")
	}
}

func TestUndecodableVectors(t *testing.T) {
	t.Parallel()
	b, topics := open(t)
	good, err := topics.Vectors.Codec.Encode(vector.Vector{Space: space, Values: []float32{1, 2}})
	if err != nil {
		t.Fatal(err)
	}
	good[len(good)/2] ^= 1
	for i, value := range [][]byte{nil, []byte("{}"), good} {
		in := question("q1", "hello")
		in.Value = value
		b.Produce(t, topics.Vectors.Name, in)
		r := b.Consume(t, topics.Dead, i+1)[i]
		checkTravelled(t, r, "q1", "hello")
		checkDead(t, r, "nearest", "decode", "vector")
		if string(r.Value) != string(value) {
			t.Errorf("the dead letter of %q is %q", value, r.Value)
		}
	}
}

// One bad question among many spoils no other, also of its batch.
func TestBadQuestionAmongGoodOnes(t *testing.T) {
	t.Parallel()
	b, topics := open(t)
	const n = 100
	var all []stage.Raw
	for i := range n {
		text := strings.Repeat("x", i%40+1)
		if i%10 == 3 {
			text = ""
		}
		all = append(all, question(fmt.Sprint(i), text))
	}
	b.Produce(t, topics.Questions.Name, all...)
	dead := b.Consume(t, topics.Dead, n/10)
	answers := b.Consume(t, topics.Answers.Name, n-n/10)
	ids := map[string]bool{}
	for _, r := range slices.Concat(dead, answers) {
		ids[string(r.Key)] = true
	}
	if len(dead) != n/10 || len(answers) != n-n/10 || len(ids) != n {
		t.Errorf("%d dead letters, %d answers, %d questions with either", len(dead), len(answers), len(ids))
	}
	for _, r := range answers {
		i, err := strconv.Atoi(string(r.Key))
		if err != nil {
			t.Fatal(err)
		}
		a, err := topics.Answers.Codec.Decode(r.Value)
		if err != nil {
			t.Fatal(err)
		}
		nearest, far := "ten", "twenty"
		if i%40+1 > 15 {
			nearest, far = far, nearest
		}
		if i%40+1 == 15 { // as far from both: by id
			nearest, far = "ten", "twenty"
		}
		if len(a.Hits) != 2 || a.Hits[0].ID != nearest || a.Hits[1].ID != far {
			t.Errorf("question of %d letters: %+v", i%40+1, a.Hits)
		}
	}
}

// Every part makes the topics, perhaps at the same moment as another.
func TestCreate(t *testing.T) {
	t.Parallel()
	b := kafkatest.Start(t)
	topics := flow.TopicsOf("test")
	var parts sync.WaitGroup
	for range 4 {
		parts.Go(func() {
			if err := topics.Create(t.Context(), b.Cluster()); err != nil {
				t.Error(err)
			}
		})
	}
	parts.Wait()
	client, err := b.Cluster().Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	for name, want := range map[string]int{
		"test.questions": 6, "test.vectors": 6, "test.answers": 1, "test.dead": 1,
	} {
		if got, err := client.Partitions(name); err != nil || len(got) != want {
			t.Errorf("topic %s: partitions %v, %v; want %d", name, got, err, want)
		}
	}
}
