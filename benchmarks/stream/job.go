package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"

	"github.com/IBM/sarama"

	"github.com/millrace-go/millrace/internal/child"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafka"
)

// job is what a process of its own runs for one measurement: so that none
// inherits the other's heap.
type job struct {
	System   string      // sarama or millrace
	Order    stage.Order // of a stage
	Delivery string
	Brokers  []string
	In, Out  string
	Group    string
	Profile  string // a file for the processor's profile; empty: none
}

// jobVariable tells this binary to run a job, and which.
const jobVariable = "STREAM_JOB"

// cost is what a job says about itself at its end.
type cost struct {
	Mallocs uint64  // heap objects in all
	Bytes   uint64  // of them
	CPU     float64 // seconds
	Peak    int     // MiB resident
}

func (j *job) cluster() *kafka.Cluster {
	return &kafka.Cluster{Brokers: j.Brokers, Config: func(c *sarama.Config) {
		c.ChannelBufferSize = 4096 // the loops need it; it does a stage no harm
	}}
}

// run works until SIGINT, and prints its cost.
func (j *job) run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if j.Profile != "" {
		f, err := os.Create(j.Profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	run, ok := map[string]func(context.Context, *kafka.Cluster) error{
		"millrace at-least-once": j.stageAtLeastOnce,
		"millrace exactly-once":  j.stageExactlyOnce,
		"sarama at-least-once":   j.loopAtLeastOnce,
		"sarama exactly-once":    j.loopExactlyOnce,
	}[j.System+" "+j.Delivery]
	if !ok {
		return fmt.Errorf("no system %q for %s", j.System, j.Delivery)
	}
	if err := run(ctx, j.cluster()); err != nil {
		return err
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return err
	}
	seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return json.NewEncoder(os.Stdout).Encode(cost{
		Mallocs: m.Mallocs, Bytes: m.TotalAlloc, CPU: seconds(u.Utime) + seconds(u.Stime), Peak: peak(),
	})
}

// peak is the highest resident size of this process so far, in MiB.
func peak() int {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if size, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
			kib, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(size, "kB")))
			if err != nil {
				return 0
			}
			return kib / 1024
		}
	}
	return 0
}

// process is a job that runs.
type process struct {
	*child.Process
	out bytes.Buffer
}

// start runs the job in a process of its own.
func (j *job) start() (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	p := &process{}
	cmd := exec.Command(self) //nolint:noctx // it lives until stop, or as long as this process
	cmd.Env = append(os.Environ(), jobVariable+"="+string(text))
	cmd.Stdout, cmd.Stderr = &p.out, os.Stderr
	p.Process, err = child.Start(cmd)
	return p, err
}

// stop ends it in good order and returns what it cost.
func (p *process) stop(ctx context.Context) (c cost, err error) {
	if err := p.Signal(syscall.SIGINT); err != nil {
		return c, errors.Join(err, fmt.Errorf("it said: %s", p.out.String()))
	}
	select {
	case <-p.Done():
	case <-ctx.Done():
		return c, errors.Join(ctx.Err(), p.Kill())
	}
	text := p.out.Bytes()
	if err := json.Unmarshal(text[bytes.LastIndexByte(bytes.TrimSpace(text), '\n')+1:], &c); err != nil {
		return c, fmt.Errorf("%w: %s", err, text)
	}
	return c, nil
}
