//go:build realkafka && !race

package chaos_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/millrace-go/millrace/internal/kafkaserver"
	"github.com/millrace-go/millrace/sink"
	"github.com/millrace-go/millrace/source"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafka"
)

// workerVariable tells this binary to be a worker, and which.
const workerVariable = "CHAOS_WORKER"

// TestMain makes a worker of the test's binary where it was started as one.
func TestMain(m *testing.M) {
	text, ok := os.LookupEnv(workerVariable)
	if !ok {
		os.Exit(m.Run())
	}
	var j job
	err := json.Unmarshal([]byte(text), &j)
	if err == nil {
		err = j.run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
}

// job is what a worker is told.
type job struct {
	Name        string // its client's id, too
	Slot        int
	Brokers     []string
	In, Out     string
	ExactlyOnce bool
}

// maxInFlight bounds what a worker that dies may leave half done.
const maxInFlight = 256

// run passes records on until SIGINT.
func (j *job) run() error {
	c := &kafka.Cluster{Brokers: j.Brokers, Config: func(c *sarama.Config) {
		c.ClientID = j.Name
		c.Consumer.Group.Session.Timeout = 4 * time.Second
		c.Consumer.Group.Heartbeat.Interval = 300 * time.Millisecond
		c.Consumer.Group.Rebalance.Timeout = 10 * time.Second
	}}
	topic := func(name string) stage.Topic[string] {
		return stage.Topic[string]{Name: name, Codec: stage.String()}
	}
	var calls atomic.Int64
	s := &stage.Stage[string, string]{
		Name:   j.Name,
		Source: source.Kafka(c, topic(j.In), j.In),
		Transform: stage.Map(func(_ context.Context, v string) (string, error) {
			n := calls.Add(1)
			time.Sleep(time.Duration(n%20) * time.Millisecond)
			if n%200 == 0 {
				return "", errors.New("not this time")
			}
			return v, nil
		}),
		Sink:           sink.Kafka(c, topic(j.Out)),
		Workers:        16,
		MaxInFlight:    maxInFlight,
		CommitInterval: 50 * time.Millisecond,
		DrainTimeout:   5 * time.Second,
		Retry:          stage.Retry{Attempts: stage.Forever, Backoff: 5 * time.Millisecond, MaxBackoff: 500 * time.Millisecond},
		Logger:         slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
	if j.ExactlyOnce {
		s.Delivery = stage.ExactlyOnce
		s.TransactionalID = j.transactionalID()
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	return stage.Run(ctx, s)
}

func (j *job) transactionalID() string { return fmt.Sprintf("%s-%d", j.In, j.Slot) }

// worker is a process of the group.
type worker struct {
	job
	*kafkaserver.Process
	log string
}

func startWorker(j job, dir string) (*worker, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	w := &worker{job: j, log: filepath.Join(dir, j.Name+".log")}
	out, err := os.Create(w.log)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), workerVariable+"="+string(text))
	cmd.Stdout, cmd.Stderr = out, out
	w.Process, err = kafkaserver.StartProcess(cmd)
	return w, err
}

// stop ends a worker in good order, and fails if it does not do that.
func (w *worker) stop(ctx context.Context) error {
	if err := w.Signal(syscall.SIGINT); err != nil {
		return err
	}
	select {
	case <-w.Done():
	case <-ctx.Done():
		return fmt.Errorf("%s does not stop: %w", w.Name, ctx.Err())
	}
	if !w.State().Success() {
		return fmt.Errorf("%s stopped with %v", w.Name, w.State())
	}
	return nil
}

// end is the end of what the worker said.
func (w *worker) end() string {
	said, err := os.ReadFile(w.log)
	if err != nil {
		return err.Error()
	}
	return string(said[max(0, len(said)-3000):])
}
