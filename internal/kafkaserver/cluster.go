package kafkaserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/millrace-go/millrace/internal/child"
)

// Cluster is a running Kafka. It ends with [Cluster.Close], or with this
// process, however that ends. Its methods are for one goroutine.
type Cluster struct {
	lib, dir    string
	settings    []string // beyond the usual ones
	nodes       []*node  // the brokers
	controllers []*node
}

// node is a process.
type node struct {
	id                 int
	roles              string // broker, controller, or both
	dir                string
	client, controller int // ports
	bearer             int // the port of those who log in by a token
	launched           int
	log                string // of the present launch
	process            *child.Process
}

// clusterID is any UUID in base64.
const clusterID = "MkU3OEVBNTcwNTJENDM2Qg"

// startTimeout bounds a node's start. After a SIGKILL it checks its logs.
const startTimeout = 90 * time.Second

// Start starts a cluster of 1 or 3 nodes from the jars in lib, with its data
// and logs below dir, and waits until all nodes serve. settings are further
// lines of server.properties.
//
// Three nodes are brokers and controllers in one. A single broker has a
// controller beside it that outlives it: alone, it would come back as its own
// stale leader until its old session ends, and then be without one for a moment,
// in which Kafka from 4.3 on forgets to end transactions that were being
// committed (KAFKA-20734). Readers would never get past them.
func Start(ctx context.Context, lib, dir string, nodes int, settings ...string) (*Cluster, error) {
	if nodes != 1 && nodes != 3 {
		return nil, fmt.Errorf("kafkaserver: 1 or 3 nodes, not %d", nodes)
	}
	c := &Cluster{lib: lib, dir: dir, settings: settings}
	roles := []string{"broker,controller", "broker,controller", "broker,controller"}
	if nodes == 1 {
		roles = []string{"broker", "controller"}
	}
	ports, err := freePorts(ctx, 3*len(roles))
	if err != nil {
		return nil, err
	}
	var all []*node
	for i, roles := range roles {
		n := &node{
			id: i + 1, roles: roles, dir: filepath.Join(dir, fmt.Sprintf("node-%d", i+1)),
			client: ports[3*i], controller: ports[3*i+1], bearer: ports[3*i+2],
		}
		all = append(all, n)
		if strings.Contains(roles, "broker") {
			c.nodes = append(c.nodes, n)
		}
		if strings.Contains(roles, "controller") {
			c.controllers = append(c.controllers, n)
		}
	}
	errs := make([]error, len(all))
	var launching sync.WaitGroup
	for i, n := range all {
		launching.Go(func() {
			if errs[i] = c.format(ctx, n); errs[i] == nil {
				errs[i] = c.launch(n)
			}
		})
	}
	launching.Wait()
	err = errors.Join(errs...)
	for _, n := range all {
		if err == nil {
			err = n.ready(ctx)
		}
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Brokers are the addresses of all brokers.
func (c *Cluster) Brokers() []string {
	var addrs []string
	for _, n := range c.nodes {
		addrs = append(addrs, fmt.Sprintf("127.0.0.1:%d", n.client))
	}
	return addrs
}

// BearerBrokers are those for clients that log in by OAUTHBEARER, with a JSON
// Web Token that nobody has signed: its sub names the user, and its exp counts.
func (c *Cluster) BearerBrokers() []string {
	var addrs []string
	for _, n := range c.nodes {
		addrs = append(addrs, fmt.Sprintf("127.0.0.1:%d", n.bearer))
	}
	return addrs
}

// Kill ends a broker, counted from 0, as kill -9 does.
func (c *Cluster) Kill(node int) error { return c.nodes[node].process.Kill() }

// Stop ends a broker in good order.
func (c *Cluster) Stop(ctx context.Context, node int) error {
	p := c.nodes[node].process
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.Done():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("kafkaserver: node %d does not stop: %w", node+1, ctx.Err())
	}
}

// Resume starts a broker that has ended again, with its data, and waits until it
// serves.
func (c *Cluster) Resume(ctx context.Context, node int) error {
	n := c.nodes[node]
	if !n.process.Ended() {
		return fmt.Errorf("kafkaserver: node %d runs", node+1)
	}
	if err := c.launch(n); err != nil {
		return err
	}
	return n.ready(ctx)
}

// Logged returns the lines of all nodes' logs that have text in them.
func (c *Cluster) Logged(text string) ([]string, error) {
	logs, err := filepath.Glob(filepath.Join(c.dir, "*", "server-*.log"))
	if err != nil {
		return nil, fmt.Errorf("kafkaserver: %w", err)
	}
	var found []string
	for _, log := range logs {
		said, err := os.ReadFile(log)
		if err != nil {
			return nil, fmt.Errorf("kafkaserver: %w", err)
		}
		for line := range strings.Lines(string(said)) {
			if strings.Contains(line, text) {
				found = append(found, line)
			}
		}
	}
	return found, nil
}

// Close kills all nodes. Their data stays.
func (c *Cluster) Close() {
	for _, n := range slices.Concat(c.nodes, c.controllers) {
		if n.process != nil && !n.process.Ended() {
			_ = n.process.Kill() // it has just ended, else
		}
	}
}

// java is a command in a JVM of Kafka's.
func (c *Cluster) java(n *node, args ...string) *exec.Cmd {
	args = append([]string{
		"-Xms128m", "-Xmx512m", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=50", "-Djava.awt.headless=true",
		"-Dlog4j2.configurationFile=" + filepath.Join(n.dir, "log4j2.properties"),
		"-cp", filepath.Join(c.lib, "*"),
	}, args...)
	return exec.Command("java", args...) //nolint:noctx // it lives until Close, beyond any context
}

// format writes a node's settings and its empty storage.
func (c *Cluster) format(ctx context.Context, n *node) error {
	if err := os.MkdirAll(n.dir, 0o755); err != nil {
		return fmt.Errorf("kafkaserver: %w", err)
	}
	for name, text := range map[string]string{"server.properties": c.properties(n), "log4j2.properties": logging} {
		if err := os.WriteFile(filepath.Join(n.dir, name), []byte(text), 0o644); err != nil {
			return fmt.Errorf("kafkaserver: %w", err)
		}
	}
	cmd := c.java(n, "kafka.tools.StorageTool", "format", "-t", clusterID, "-c", filepath.Join(n.dir, "server.properties"))
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	p, err := child.Start(cmd)
	if err != nil {
		return err
	}
	select {
	case <-p.Done():
	case <-ctx.Done():
		_ = p.Kill()
		return fmt.Errorf("kafkaserver: %w", ctx.Err())
	}
	if !p.State().Success() {
		return fmt.Errorf("kafkaserver: formatting node %d: %v\n%s", n.id, p.State(), said.Bytes())
	}
	return nil
}

func (c *Cluster) launch(n *node) error {
	n.launched++
	n.log = filepath.Join(n.dir, fmt.Sprintf("server-%d.log", n.launched))
	out, err := os.Create(n.log)
	if err != nil {
		return fmt.Errorf("kafkaserver: %w", err)
	}
	defer func() { _ = out.Close() }() // the child has its own
	cmd := c.java(n, "kafka.Kafka", filepath.Join(n.dir, "server.properties"))
	cmd.Stdout, cmd.Stderr = out, out
	n.process, err = child.Start(cmd)
	return err
}

// ready waits for the line that a broker logs once it may serve clients.
func (n *node) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		said, err := os.ReadFile(n.log)
		if err != nil {
			return fmt.Errorf("kafkaserver: %w", err)
		}
		if bytes.Contains(said, []byte("Kafka Server started")) {
			return nil
		}
		end := said[max(0, len(said)-2000):]
		select {
		case <-n.process.Done():
			return fmt.Errorf("kafkaserver: node %d ended at its start: %v\n%s", n.id, n.process.State(), end)
		case <-ctx.Done():
			return fmt.Errorf("kafkaserver: node %d is not ready: %w\n%s", n.id, ctx.Err(), end)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (c *Cluster) properties(n *node) string {
	var voters []string
	for _, other := range c.controllers {
		voters = append(voters, fmt.Sprintf("%d@127.0.0.1:%d", other.id, other.controller))
	}
	replicas := len(c.nodes)
	text := usual
	switch n.roles {
	case "broker":
		text += brokerListeners
	case "controller":
		text += controllerListener
	default:
		text += allListeners
	}
	return strings.NewReplacer(
		"$ROLES", n.roles, "$ID", strconv.Itoa(n.id), "$VOTERS", strings.Join(voters, ","), "$DATA", filepath.Join(n.dir, "data"),
		"$CLIENT", strconv.Itoa(n.client), "$CONTROLLER", strconv.Itoa(n.controller), "$BEARER", strconv.Itoa(n.bearer),
		"$REPLICAS", strconv.Itoa(replicas), "$INSYNC", strconv.Itoa((replicas+1)/2),
	).Replace(text) + strings.Join(c.settings, "\n") + "\n"
}

// usual are the settings of a node: small, and soon to notice that another one
// is gone.
const usual = `process.roles=$ROLES
node.id=$ID
controller.quorum.voters=$VOTERS
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,BEARER:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
listener.name.bearer.sasl.enabled.mechanisms=OAUTHBEARER
listener.name.bearer.oauthbearer.sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";
listener.name.bearer.oauthbearer.sasl.server.callback.handler.class=org.apache.kafka.common.security.oauthbearer.internals.unsecured.OAuthBearerUnsecuredValidatorCallbackHandler
log.dirs=$DATA
auto.create.topics.enable=false
default.replication.factor=$REPLICAS
min.insync.replicas=$INSYNC
offsets.topic.replication.factor=$REPLICAS
offsets.topic.num.partitions=6
transaction.state.log.replication.factor=$REPLICAS
transaction.state.log.min.isr=$INSYNC
transaction.state.log.num.partitions=6
share.coordinator.state.topic.replication.factor=$REPLICAS
share.coordinator.state.topic.min.isr=$INSYNC
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
log.cleaner.dedupe.buffer.size=16777216
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
`

// The listeners of each role.
const (
	brokerListeners = `listeners=PLAINTEXT://127.0.0.1:$CLIENT,BEARER://127.0.0.1:$BEARER
advertised.listeners=PLAINTEXT://127.0.0.1:$CLIENT,BEARER://127.0.0.1:$BEARER
`
	controllerListener = `listeners=CONTROLLER://127.0.0.1:$CONTROLLER
`
	allListeners = `listeners=PLAINTEXT://127.0.0.1:$CLIENT,BEARER://127.0.0.1:$BEARER,CONTROLLER://127.0.0.1:$CONTROLLER
advertised.listeners=PLAINTEXT://127.0.0.1:$CLIENT,BEARER://127.0.0.1:$BEARER
`
)

const logging = `status = error
appender.c.type = Console
appender.c.name = c
appender.c.layout.type = PatternLayout
appender.c.layout.pattern = %d{ISO8601} %p %c{1}: %m%n
rootLogger.level = info
rootLogger.appenderRef.c.ref = c
`

// freePorts finds ports that nobody listens on, below those that outgoing
// connections get: a node that is down must find its own free again.
func freePorts(ctx context.Context, n int) ([]int, error) {
	var ports []int
	for range 1000 {
		port := 15000 + rand.IntN(15000)
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		defer l.Close() // all stay open until the last is found, so they differ
		if ports = append(ports, port); len(ports) == n {
			return ports, nil
		}
	}
	return nil, fmt.Errorf("kafkaserver: no %d free ports on 127.0.0.1", n)
}
