package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/IBM/sarama"

	"github.com/millrace-go/millrace/embed"
	"github.com/millrace-go/millrace/examples/tweets/internal/flow"
	"github.com/millrace-go/millrace/stage/kafka"
)

// options are the flags, the same ones for all commands.
type options struct {
	archive  string
	data     string
	model    string
	sizes    []int
	dims     int
	k        int
	finder   string
	bigquery bigqueryOptions
	price    float64

	brokers string
	topics  string
	port    int
	keep    string

	json     bool
	timeout  time.Duration
	parallel int
	verbose  bool
}

const help = `usage: tweets [command] [flags]

Finds the tweets most similar to a sentence, through Kafka.

commands:
  (none)    everything in this process: a broker, both stages, and a prompt;
            with lines on standard input it answers each and ends
  prepare   clean, embed and index the archive
  broker    a Kafka broker in this process
  embed     the stage from questions to vectors; start several to share the load
  nearest   the stage from vectors to answers
  ask       the prompt
  cost      what 1,000 questions cost on BigQuery, at -price

flags:
`

func (o *options) parse(args []string, w io.Writer) error {
	f := flag.NewFlagSet("tweets", flag.ContinueOnError)
	f.SetOutput(w)
	f.Usage = func() {
		_, _ = io.WriteString(w, help)
		f.PrintDefaults()
	}
	f.StringVar(&o.archive, "archive", "", "a Trump Twitter Archive's JSON `file`, plain or gzipped; the sample that comes with the app if empty")
	f.StringVar(&o.data, "data", "", "`folder` for what is prepared; one below $MILLRACE_CACHE if empty")
	f.StringVar(&o.model, "model", "all-MiniLM-L6-v2", "sentence-transformers `model`: a folder, or the name of one that embed/setup installed")
	sizes := f.String("sizes", "150", "`dimensions` that prepare reduces the vectors to, with commas; 0 for none")
	f.IntVar(&o.dims, "dims", 0, "search among vectors reduced to that many `dimensions`, one of -sizes; 0 for the full ones")
	f.IntVar(&o.k, "k", 5, "how many tweets an answer has")
	f.StringVar(&o.finder, "finder", "memory", "where to search: `memory or bigquery`")
	f.StringVar(&o.bigquery.project, "bigquery-project", "", "Google Cloud `project` for -finder bigquery; an emulator on this machine if empty")
	f.StringVar(&o.bigquery.dataset, "bigquery-dataset", "tweets", "BigQuery data `set`, which is made if it does not exist")
	f.Float64Var(&o.price, "price", 0, "for cost: `dollars` a TiB that queries read on demand, from BigQuery's price list")
	f.StringVar(&o.brokers, "brokers", "", "Kafka's `host:port`, several with commas; empty without a command: a broker in this process")
	f.StringVar(&o.topics, "topics", "tweets", "`prefix` of the topics' and groups' names")
	f.IntVar(&o.port, "port", 9092, "`port` of the broker command, on 127.0.0.1")
	f.StringVar(&o.keep, "keep", "", "`folder` where the broker command keeps its topics; they end with it if empty")
	f.BoolVar(&o.json, "json", false, "print an answer as one JSON object a line")
	f.DurationVar(&o.timeout, "timeout", 30*time.Second, "how long a question waits for its answer")
	f.IntVar(&o.parallel, "parallel", 1, "how many lines of standard input are asked at once; answers keep their order")
	f.BoolVar(&o.verbose, "v", false, "log more")
	if err := f.Parse(args); err != nil {
		return err
	}
	return o.check(f.Args(), *sizes)
}

// check finds what is wrong with the flags, all at once.
func (o *options) check(rest []string, sizes string) error {
	var errs []error
	wrong := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	wrong(len(rest) > 0, "unexpected argument %q; flags come after the command, see -h", strings.Join(rest, " "))
	for s := range strings.SplitSeq(sizes, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(s))
		wrong(err != nil || n < 0, "-sizes: %q is not a number of dimensions", s)
		if n > 0 {
			o.sizes = append(o.sizes, n)
		}
	}
	slices.Sort(o.sizes)
	o.sizes = slices.Compact(o.sizes)
	wrong(o.dims < 0, "-dims: negative")
	wrong(o.k < 1, "-k: an answer needs at least one tweet")
	wrong(o.finder != "memory" && o.finder != "bigquery", "-finder: %q is neither memory nor bigquery", o.finder)
	wrong(o.timeout <= 0, "-timeout: must be above 0")
	wrong(o.parallel < 1, "-parallel: must be at least 1")
	wrong(o.topics == "", "-topics: empty")
	if o.dims > 0 && !slices.Contains(o.sizes, o.dims) {
		o.sizes = append(o.sizes, o.dims) // searching there asks for it
		slices.Sort(o.sizes)
	}
	return errors.Join(errs...)
}

// cluster is the Kafka that -brokers names.
func (o *options) cluster() (*kafka.Cluster, error) {
	if o.brokers == "" {
		return nil, errors.New("which Kafka? give -brokers host:port, for instance that of `tweets broker`")
	}
	// Somebody waits at the prompt: a part that died is to be missed soon.
	c := &kafka.Cluster{Config: func(c *sarama.Config) { c.Consumer.Group.Session.Timeout = 6 * time.Second }}
	for b := range strings.SplitSeq(o.brokers, ",") {
		c.Brokers = append(c.Brokers, strings.TrimSpace(b))
	}
	return c, nil
}

func (o *options) flow() flow.Topics { return flow.TopicsOf(o.topics) }

// modelDir is the folder of -model.
func (o *options) modelDir() string {
	if strings.ContainsAny(o.model, `/\`) {
		return o.model
	}
	return embed.Installed(o.model)
}
