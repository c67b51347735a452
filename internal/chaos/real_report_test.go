//go:build realkafka && !race

package chaos_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/millrace-go/millrace/internal/kafkaserver"
	"github.com/millrace-go/millrace/internal/witness"
)

// row is what became of one scenario.
type row struct {
	name    string
	verdict witness.Verdict
	faults  int
	took    time.Duration
	seed    uint64
	passed  bool
}

const reportHead = `# Reliability

` + "`make test-kafka SIZE=full`" + ` has written this: the last full run against a real Kafka. Three worker processes in a
group pass records on, ordered by key, while something breaks. A reader by another client, read_committed, judges:
every record that was acknowledged must come out (lost), no more often than promised (duplicated), and in its key's
order (reordered). Exactly once allows no duplicate. At least once, a fault may bring again what was in flight (up to
256 records a worker) and what was finished since the last commit: 512 for each worker that it hits are let pass.

- **workers-killed**: SIGKILL at any moment, another process takes the place.
- **workers-stopped**: SIGINT in turn, as a rolling restart does. Nothing is done twice, at least once or not.
- **zombies**: SIGSTOP until the group has given the partitions to others, then SIGCONT.
- **broker-killed-for-...**: SIGKILL of the only broker, whose controller is another process; no worker is restarted.
- **brokers-killed-in-turn**, **brokers-stopped-in-turn**: SIGKILL and SIGTERM of one of three; no worker is restarted.
- **network-...**: toxiproxy between all workers and all brokers, on the way back, so that what was asked for has
  happened: answers 200 to 400 ms late; connections reset in place of an answer; no answer for longer than the
  session's time-out; 2 kB/s a connection.

Kafka 4.3 and 4.4 have a defect that a stage does not make good (KAFKA-20734). A coordinator that is to end a transaction
while one of its partitions has no leader takes that one for deleted, and never ends it there: read_committed readers
stand before it, and the producer's next transaction in that partition would end it as well, whichever way. A single
broker that is its own controller gets there when it dies while a commit is on its way (2 of 5 runs of
broker-killed-for-4s here); so does any partition all of whose replicas are away. ` + "`kafka-transactions.sh find-hanging`" + `
finds such transactions, and its ` + "`abort`" + ` ends them. The single broker here therefore has a controller beside it.

`

const outageHead = `
## How soon work goes on

The only broker gets SIGKILL under three groups at once, of three processes each, which pass records on and do nothing
else: stages, and a loop by hand (sarama, asynchronous producer, low-water commits, retries that carry it through).
Records come until the kill and again from the first answer after it. The times run from that answer, by the broker's
own append times; they include that the brokers' leaders and coordinators load.

A record may come twice for two reasons. It was written before the kill, but the commit that says so had not come: what
was finished within a CommitInterval (50 ms) and the time of a commit. Or it was in flight, and the producer, which
carries it through the outage, and the partition's next tenure both write it: at most MaxInFlight (256) a worker,
which the test holds the stage to. So one outage brings at most, for each worker, its MaxInFlight, and what it
finishes in a CommitInterval and a commit.

| away, s | | first result, s | all, s | lost | twice | of those before the kill | the oldest, ms |
| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |
`

// writeReport writes the tables of a run.
func writeReport(path string, rows []row, outages []outage) error {
	var b bytes.Buffer
	b.WriteString(reportHead)
	fmt.Fprintf(&b, "%s, Kafka %s, sarama %s, %s, %s/%s, %s\n\n", time.Now().UTC().Format(time.DateOnly), kafkaserver.Version,
		moduleVersion("github.com/IBM/sarama"), runtime.Version(), runtime.GOOS, runtime.GOARCH, machine())
	b.WriteString("| scenario | sent | lost | duplicated | reordered | faults | seconds | seed | |\n")
	b.WriteString("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |\n")
	sent := 0
	for _, r := range rows {
		v, outcome := r.verdict, "pass"
		if !r.passed {
			outcome = "**FAIL**"
		}
		sent += v.Sent
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %d | %.1f | %d | %s |\n",
			r.name, v.Sent, v.Lost, v.Duplicated, v.Reordered, r.faults, r.took.Seconds(), r.seed, outcome)
	}
	fmt.Fprintf(&b, "\n%d records in all.\n", sent)
	b.WriteString(outageHead)
	for _, o := range outages {
		fmt.Fprintf(&b, "| %.1f | %s | %.1f | %.1f | %d | %d | %d | %d |\n",
			o.away.Seconds(), o.system, o.first.Seconds(), o.all.Seconds(), o.lost, o.twice, o.before, o.oldest.Milliseconds())
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}

// machine names the processor and how many of it there are.
func machine() string {
	model := "unknown processor"
	info, _ := os.ReadFile("/proc/cpuinfo") // where there is none, there is no model
	for line := range strings.Lines(string(info)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	return fmt.Sprintf("%d x %s", runtime.NumCPU(), model)
}

// moduleVersion asks go: a test's binary does not know what it was built of.
func moduleVersion(path string) string {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Version}}", path).Output()
	if err != nil {
		return "of unknown version"
	}
	return strings.TrimSpace(string(out))
}
