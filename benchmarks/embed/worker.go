package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/millrace-go/millrace/embed"
)

// worker is millrace as one of the systems: this program once more, in a
// process of its own, which speaks with the benchmark as peers/peer.py does.
type worker struct {
	Model   string
	Texts   string   // a file
	Latency bool     // the setting for single texts
	Brokers []string // for the stage; none: it is not asked for one
}

// workerVariable tells this binary to be a worker, and which.
const workerVariable = "EMBED_WORKER"

// answer is what a system says to a command; each sets what it is about.
type answer struct {
	Ready   string      `json:"ready,omitempty"` // its versions
	Vectors [][]float32 `json:"vectors,omitempty"`
	MS      []float64   `json:"ms,omitempty"` // for each text
	took
}

// took is what all texts have taken.
type took struct {
	Seconds   float64 `json:"seconds,omitempty"`
	Processor float64 `json:"processor,omitempty"` // seconds of its time, of all cores
}

// run answers commands until there are no more.
func (w *worker) run(ctx context.Context, in io.Reader, out io.Writer) (err error) {
	texts, err := readTexts(w.Texts)
	if err != nil {
		return err
	}
	var options []embed.Option
	if w.Latency {
		options = append(options, embed.WithLatency())
	}
	model, err := embed.Open(w.Model, options...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, model.Close()) }()
	if _, err := model.Transform(ctx, texts[:min(64, len(texts))]); err != nil {
		return err
	}
	s := stageBench{model: model, texts: texts, brokers: w.Brokers, prefix: fmt.Sprintf("bench-embed-%d", os.Getpid())}
	answers := json.NewEncoder(out)
	if err := answers.Encode(answer{Ready: versions()}); err != nil {
		return err
	}
	for lines := bufio.NewScanner(in); lines.Scan(); {
		var command string
		var n int
		_, _ = fmt.Sscan(lines.Text(), &command, &n) // some have no number
		n = min(n, len(texts))
		var a answer
		worked := processor()
		switch command {
		case "throughput":
			a.Seconds, err = seconds(func() error { _, err := model.Transform(ctx, texts); return err })
			a.Processor = processor() - worked
		case "latency":
			a.MS, err = oneByOne(ctx, model, texts[:n])
		case "vectors":
			a.Vectors, err = values(ctx, model, texts[:n])
		case "stage":
			a.Seconds, err = s.run(ctx)
			a.Processor = processor() - worked
		default:
			err = errors.New("there is no such command")
		}
		if err != nil {
			return fmt.Errorf("%s: %w", command, err)
		}
		if err := answers.Encode(a); err != nil {
			return err
		}
	}
	return nil
}

func seconds(f func() error) (float64, error) {
	begun := time.Now()
	err := f()
	return time.Since(begun).Seconds(), err
}

// processor is how many seconds of its time this process has had.
func processor() float64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // it has no way to fail
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

func oneByOne(ctx context.Context, model *embed.Model, texts []string) (ms []float64, err error) {
	for _, t := range texts {
		took, err := seconds(func() error { _, err := model.Transform(ctx, []string{t}); return err })
		if err != nil {
			return nil, err
		}
		ms = append(ms, took*1000)
	}
	return ms, nil
}

func values(ctx context.Context, model *embed.Model, texts []string) (all [][]float32, err error) {
	vectors, err := model.Transform(ctx, texts)
	for _, v := range vectors {
		all = append(all, v.Values)
	}
	return all, err
}

// versions are those of what counts here, as this binary has them.
func versions() string {
	made := []string{runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			switch d.Path {
			case "github.com/yalue/onnxruntime_go", "github.com/daulet/tokenizers", "github.com/IBM/sarama":
				made = append(made, d.Path[len("github.com/"):]+" "+d.Version)
			}
		}
	}
	return strings.Join(made, ", ")
}

func readTexts(file string) (texts []string, err error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return texts, json.Unmarshal(data, &texts)
}
