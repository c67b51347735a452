//go:build realkafka && !race

package chaos_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/millrace-go/millrace/internal/child"
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
	Via         via // what to dial in place of a broker, if not nil
	In, Out     string
	ExactlyOnce bool
	Loop        bool   // no stage, but a loop of sarama's
	Plain       bool   // a transform that takes no time and never fails
	Stuck       int    // a transform that never ends for one record of so many
	Token       string // to log in with
	Aloud       bool   // logs all that sarama and the stage say
	Calls       string // a file that gets a line for each record transformed
}

// noToken is in the place of a token that could not be got.
const noToken = "none"

// maxInFlight bounds what a worker that dies may leave half done.
const maxInFlight = 256

// run passes records on until SIGINT.
func (j *job) run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if j.Loop {
		return j.loop(ctx)
	}
	level := slog.LevelInfo
	if j.Aloud {
		level = slog.LevelDebug
		sarama.Logger = log.New(os.Stderr, "sarama: ", 0)
		sarama.DebugLogger = sarama.Logger
	}
	transform, err := j.transform()
	if err != nil {
		return err
	}
	c := &kafka.Cluster{Brokers: j.Brokers, Config: j.config}
	topic := func(name string) stage.Topic[string] {
		return stage.Topic[string]{Name: name, Codec: stage.String()}
	}
	s := &stage.Stage[string, string]{
		Name:           j.Name,
		Source:         source.Kafka(c, topic(j.In), j.In),
		Transform:      stage.Map(transform),
		Sink:           sink.Kafka(c, topic(j.Out)),
		Workers:        16,
		MaxInFlight:    maxInFlight,
		CommitInterval: 50 * time.Millisecond,
		DrainTimeout:   5 * time.Second,
		Retry:          stage.Retry{Attempts: stage.Forever, Backoff: 5 * time.Millisecond, MaxBackoff: 500 * time.Millisecond},
		Logger:         slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})),
	}
	if j.Stuck > 0 {
		s.Workers, s.MaxInFlight = 2000, 4000
	}
	if j.ExactlyOnce {
		s.Delivery = stage.ExactlyOnce
		s.TransactionalID = j.transactionalID()
	}
	return stage.Run(ctx, s)
}

func (j *job) config(c *sarama.Config) {
	c.ClientID = j.Name
	c.Consumer.Group.Session.Timeout = 4 * time.Second
	c.Consumer.Group.Heartbeat.Interval = 300 * time.Millisecond
	c.Consumer.Group.Rebalance.Timeout = 10 * time.Second
	if j.Via != nil {
		c.Net.Proxy.Enable, c.Net.Proxy.Dialer = true, j.Via
	}
	if j.Token != "" {
		kafka.OAuthBearer(c, func(context.Context) (string, error) {
			if j.Token == noToken {
				return "", errors.New("the token server is away")
			}
			return j.Token, nil
		})
	}
}

// transform is what a worker does with a record.
func (j *job) transform() (func(context.Context, string) (string, error), error) {
	var calls atomic.Int64
	work := func(ctx context.Context, v string) (string, error) {
		n := calls.Add(1)
		switch {
		case j.Plain:
		case j.Stuck > 0:
			key, _, _ := strings.Cut(v, ":")
			if k, err := strconv.Atoi(key); err != nil || isStuck(k, j.Stuck) {
				<-ctx.Done()
				return "", errors.Join(err, ctx.Err())
			}
		default:
			time.Sleep(time.Duration(n%20) * time.Millisecond)
			if n%200 == 0 {
				return "", errors.New("not this time")
			}
		}
		return v, nil
	}
	if j.Calls == "" {
		return work, nil
	}
	file, err := os.OpenFile(j.Calls, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	return func(ctx context.Context, v string) (string, error) {
		if _, err := file.WriteString(v + "\n"); err != nil {
			return "", err
		}
		return work(ctx, v)
	}, err
}

// isStuck is the last one of every so many.
func isStuck(n, every int) bool { return n%every == every-1 }

// via leads to brokers by other addresses.
type via map[string]string

// Dial goes the other way, and no way where it knows none.
func (v via) Dial(network, addr string) (net.Conn, error) {
	other, ok := v[addr]
	if !ok {
		return nil, fmt.Errorf("no way to %s", addr)
	}
	return net.DialTimeout(network, other, 5*time.Second)
}

func (j *job) transactionalID() string { return fmt.Sprintf("%s-%d", j.In, j.Slot) }

// worker is a process of the group.
type worker struct {
	job
	*child.Process
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
	w.Process, err = child.Start(cmd)
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

// said is all that the worker said.
func (w *worker) said() (string, error) {
	b, err := os.ReadFile(w.log)
	return string(b), err
}

// end is the end of what the worker said.
func (w *worker) end() string {
	said, err := w.said()
	if err != nil {
		return err.Error()
	}
	return said[max(0, len(said)-3000):]
}
