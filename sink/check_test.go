package sink_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-go/millrace/sink"
	"github.com/millrace-go/millrace/source"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafka"
	"github.com/millrace-go/millrace/stage/kafkatest"
)

func doctored(t *testing.T, opts ...kfake.Opt) *kafkatest.Broker {
	t.Helper()
	b, err := kafkatest.New(kafkatest.Options{Fake: opts})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	for _, name := range []string{"in", "out"} {
		if err := b.CreateTopic(name, 1); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// checked is a stage for Check, with a config of its own.
func checked(b *kafkatest.Broker, config func(*sarama.Config)) *stage.Stage[string, string] {
	c := &kafka.Cluster{Brokers: b.Addrs(), Config: config, StartTimeout: 10 * time.Second}
	return &stage.Stage[string, string]{
		Source:    source.Kafka(c, topic("in"), "group"),
		Transform: stage.Map(same[string]),
		Sink:      sink.Kafka(c, topic("out")),
		Logger:    quiet,
	}
}

func exactly(s *stage.Stage[string, string]) *stage.Stage[string, string] {
	s.Delivery, s.TransactionalID = stage.ExactlyOnce, "miller"
	return s
}

func partitioner(p sarama.PartitionerConstructor) func(*sarama.Config) {
	return func(c *sarama.Config) { c.Producer.Partitioner = p }
}

func says(t *testing.T, err error, all ...string) {
	t.Helper()
	for _, want := range all {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nwant %q", err, want)
		}
	}
	if len(all) == 0 && err != nil {
		t.Error(err)
	}
}

func TestCheckTransactionTimeout(t *testing.T) {
	b := doctored(t, kfake.BrokerConfigs(map[string]string{"transaction.max.timeout.ms": "20000"}))
	session := func(d time.Duration) func(*sarama.Config) {
		return func(c *sarama.Config) { c.Consumer.Group.Session.Timeout = d }
	}
	says(t, stage.Check(t.Context(), exactly(checked(b, session(20*time.Second)))))
	says(t, stage.Check(t.Context(), checked(b, session(30*time.Second)))) // no transactions
	says(t, stage.Check(t.Context(), exactly(checked(b, session(30*time.Second)))),
		"Producer.Transaction.Timeout is 27s, and the broker's transaction.max.timeout.ms is 20000 (20s)", "raise the other")
	says(t, stage.Check(t.Context(), exactly(checked(b, func(c *sarama.Config) { c.Producer.Transaction.Timeout = 10 * time.Second }))),
		"Producer.Transaction.Timeout (10s) is not below Consumer.Group.Session.Timeout (10s)")
}

func TestCheckPartitioner(t *testing.T) {
	b := doctored(t)
	var log bytes.Buffer
	check := func(s *stage.Stage[string, string]) error {
		log.Reset()
		s.Logger = slog.New(slog.NewTextHandler(&log, nil))
		return stage.Check(t.Context(), s)
	}
	const other = "other partitions than Java's"
	says(t, check(checked(b, nil)))
	if log.Len() > 0 {
		t.Errorf("of the default: %s", &log)
	}
	says(t, check(checked(b, partitioner(sarama.NewHashPartitioner))))
	if !strings.Contains(log.String(), other) {
		t.Errorf("of FNV: %s", &log)
	}
	for _, p := range []sarama.PartitionerConstructor{sarama.NewRandomPartitioner, sarama.NewRoundRobinPartitioner} {
		says(t, check(checked(b, partitioner(p))), "Producer.Partitioner scatters the records of a key", "Order: stage.Unordered")
		s := checked(b, partitioner(p))
		s.Order = stage.Unordered
		says(t, check(s))
		if !strings.Contains(log.String(), other) {
			t.Errorf("of a scattering one: %s", &log)
		}
	}
}

func TestCheckReplicas(t *testing.T) {
	b := doctored(t)
	if err := b.Fake().CreateTopic("safe", 1, map[string]string{"min.insync.replicas": "2"}); err != nil {
		t.Fatal(err)
	}
	s := checked(b, nil)
	c := b.Cluster()
	s.Source = source.Kafka(c, topic("safe"), "group") // reading it goes well
	says(t, stage.Check(t.Context(), s))
	s.Sink = sink.Kafka(c, topic("safe"))
	says(t, stage.Check(t.Context(), s), `nothing can be written to topic "safe": it has 1 replicas of partition 0, and min.insync.replicas is 2`)
}

// TestCheckPermissions: all that is missing, at once.
func TestCheckPermissions(t *testing.T) {
	may := func(op kmsg.ACLOperation, of kmsg.ACLResourceType, name string) kfake.ACL {
		return kfake.ACL{Resource: of, Name: name, Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: op, Allow: true}
	}
	topics, groups, ids := kmsg.ACLResourceTypeTopic, kmsg.ACLResourceTypeGroup, kmsg.ACLResourceTypeTransactionalId
	b := doctored(t, kfake.EnableSASL(), kfake.EnableACLs(),
		kfake.User("PLAIN", "none", "pw",
			may(kmsg.ACLOperationDescribe, topics, "in"), may(kmsg.ACLOperationRead, topics, "out")),
		kfake.User("PLAIN", "all", "pw",
			may(kmsg.ACLOperationRead, topics, "in"), may(kmsg.ACLOperationWrite, topics, "out"),
			may(kmsg.ACLOperationRead, groups, "group"), may(kmsg.ACLOperationWrite, ids, "miller")),
	)
	login := func(user string) func(*sarama.Config) {
		return func(c *sarama.Config) {
			c.Net.SASL.Enable, c.Net.SASL.User, c.Net.SASL.Password = true, user, "pw"
		}
	}
	says(t, stage.Check(t.Context(), exactly(checked(b, login("all")))))
	says(t, stage.Check(t.Context(), exactly(checked(b, login("none")))),
		`no permission for topic "in"; let this client's user READ it`,
		`no permission for topic "out"; let this client's user WRITE it`,
		`no permission for the consumer group "group"; let this client's user READ it`,
		`no permission for the transactional id "miller"; let this client's user WRITE it`)
}

// TestCheckWritesNothing, alone: no request that changes anything arrives, and
// all that is wrong is said at once, the dead letters' topic included.
func TestCheckWritesNothing(t *testing.T) {
	b := doctored(t)
	changes := []kmsg.Key{
		kmsg.Produce, kmsg.JoinGroup, kmsg.OffsetCommit, kmsg.InitProducerID, kmsg.AddPartitionsToTxn, kmsg.AddOffsetsToTxn,
		kmsg.TxnOffsetCommit, kmsg.EndTxn, kmsg.CreateTopics, kmsg.IncrementalAlterConfigs,
	}
	changed := b.Fake().Fault(kfake.Fault{Keys: changes, Count: -1, Observe: true})
	asked := b.Fake().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Count: -1, Observe: true})
	c := b.Cluster()
	good := exactly(checked(b, nil))
	says(t, stage.Check(t.Context(), good))
	bad := &stage.Stage[string, string]{
		Source:      source.Kafka(c, topic("inn"), "group"),
		Transform:   stage.Map(same[string]),
		Sink:        sink.Tee(sink.Kafka(c, topic("outt")), sink.Kafka(c, topic("out"))),
		DeadLetters: sink.DeadLetters(c, "dead"),
		Logger:      quiet,
	}
	worse := &stage.Stage[string, string]{Name: "worse", Workers: -1}
	says(t, stage.Check(t.Context(), bad, worse), `topic "inn" does not exist`, `topic "outt" does not exist`, `topic "dead" does not exist`, "create it first",
		`stage "worse" is not set up right`, "Workers: negative", "Transform: missing")
	if n := changed.Hits(); n != 0 || asked.Hits() == 0 {
		t.Errorf("%d requests that change something; %d for metadata", n, asked.Hits())
	}
	if b.Fake().TopicInfo("dead") != nil {
		t.Error("a topic was created")
	}
	// A run of the good one does change something, so it would be seen.
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	good.Source = source.Kafka(c, topic("in"), "group", source.UntilEnd())
	good.Sink = sink.Kafka(c, topic("out"))
	if err := stage.Run(ctx, good); err != nil || changed.Hits() == 0 {
		t.Errorf("%v, %d", err, changed.Hits())
	}
}
