// Embed measures how fast sentence-transformers models run here, beside what
// people use in Python: the same model and texts in all of them, by turns.
//
// Each system is a process of its own. The raw ONNX Runtime session with ideal
// batches is the floor that wrappers are to be measured by. Millrace's also run
// through a whole Kafka stage. It writes benchmarks/results/embed.json and
// embed.md. -h tells the flags.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/millrace-go/millrace/benchmarks/internal/archive"
	"github.com/millrace-go/millrace/benchmarks/internal/pyenv"
	"github.com/millrace-go/millrace/benchmarks/internal/results"
	"github.com/millrace-go/millrace/embed"
	"github.com/millrace-go/millrace/stage/kafkatest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if text, ok := os.LookupEnv(workerVariable); ok {
		var w worker
		if err = json.Unmarshal([]byte(text), &w); err == nil {
			err = w.run(ctx, os.Stdin, os.Stdout)
		}
	} else {
		err = run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "embed:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to stop
	}
}

const modelName = "all-MiniLM-L6-v2"

type options struct {
	archive string
	brokers string
	out     string
	n       int
	rounds  int
	singles int
	light   bool

	model   string // its folder
	threads int
	texts   []string
	file    string // that has them
}

func (o *options) parse(args []string, errs io.Writer) error {
	f := flag.NewFlagSet("embed", flag.ContinueOnError)
	f.SetOutput(errs)
	f.StringVar(&o.archive, "archive", "examples/tweets/sample/posts.json", "a Trump Twitter Archive's JSON `file`, plain or gzipped")
	f.StringVar(&o.brokers, "brokers", "", "have the stage's topics on the Kafka at these `host:port`, several with commas; in this process if empty")
	f.StringVar(&o.out, "out", "benchmarks/results", "`folder` for the results; none are written if empty")
	f.IntVar(&o.n, "texts", 5000, "how many texts; all there are if fewer")
	f.IntVar(&o.rounds, "rounds", 5, "how many turns each system has")
	f.IntVar(&o.singles, "singles", 200, "how many texts a turn embeds one by one")
	f.BoolVar(&o.light, "light", false, "leave out sentence-transformers, whose torch takes 6 GB of disk")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 || o.n < 64 || o.rounds < 1 || o.singles < 1 {
		return errors.New("no arguments, and at least 64 texts, one round and one single text; see -h")
	}
	o.model, o.threads = embed.Installed(modelName), runtime.GOMAXPROCS(0)
	return nil
}

func run(ctx context.Context, args []string, out, errs io.Writer) (err error) {
	b := bench{log: errs}
	if err := b.parse(args, errs); err != nil {
		return err
	}
	load := results.Load()
	if b.texts, err = archive.Texts(b.archive, b.n); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "embed")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b.file = filepath.Join(dir, "texts.json")
	data, err := json.Marshal(b.texts)
	if err != nil {
		return err
	}
	if err := os.WriteFile(b.file, data, 0o600); err != nil {
		return err
	}
	addrs := strings.Split(b.brokers, ",")
	if b.brokers == "" {
		own, err := kafkatest.New(kafkatest.Options{})
		if err != nil {
			return err
		}
		defer own.Close()
		addrs = own.Addrs()
	}
	defer func() {
		for _, m := range b.systems {
			m.close()
		}
	}()
	if err := b.start(ctx, addrs); err != nil {
		return err
	}
	if err := b.measure(ctx); err != nil {
		return err
	}
	r := report{bench: &b, load: load}
	text := r.text()
	_, _ = io.WriteString(out, text)
	if b.out == "" {
		return nil
	}
	return results.Write(b.out, "embed", r.rows(), text)
}

// peer is a Python system.
type peer struct {
	pyenv.Environment
	name  string
	batch int // with which it is fastest
}

// start starts all systems, the raw session first.
func (b *bench) start(ctx context.Context, brokers []string) error {
	peers := []peer{{small(), "onnxruntime", 32}, {small(), "fastembed", 32}}
	if !b.light {
		peers = append(peers, peer{large(), "sentence-transformers-onnx", 32}, peer{large(), "sentence-transformers-torch", 32})
	}
	add := func(s *system, err error) error {
		if err == nil {
			b.systems = append(b.systems, &measured{system: s})
		}
		return err
	}
	for _, p := range peers {
		python, err := p.Install(ctx, b.log)
		if err != nil {
			return err
		}
		if err := add(startPeer(ctx, &b.options, python, p)); err != nil {
			return err
		}
	}
	w := worker{Model: b.model, Texts: b.file, Brokers: brokers}
	if err := add(startOwn(ctx, system{name: "millrace", label: "millrace", stage: true}, w)); err != nil {
		return err
	}
	w.Latency = true
	return add(startOwn(ctx, system{name: "millrace", label: "millrace, WithLatency", latency: true}, w))
}
