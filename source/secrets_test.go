package source_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafka"
)

// TestLeaksAreFound: the tests that look for secrets would see one.
func TestLeaksAreFound(t *testing.T) {
	cert := newAuthority(t).leaf(time.Hour)[0]
	cfg := sarama.NewConfig()
	plain(secret)(cfg)
	login := []byte("\x00" + user + "\x00" + secret)
	for _, s := range []string{
		fmt.Sprintf("%+v", cfg.Net.SASL), fmt.Sprintf("%v", login), fmt.Sprintf("%x", login), fmt.Sprintf("%+v", cert.PrivateKey),
	} {
		if !leaks(s) {
			t.Errorf("not found in %.80q", s)
		}
	}
	if leaks("kafka: client has run out of available brokers") {
		t.Error("found where there is none")
	}
}

// TestClusterPrintsNoSecret, however it is printed.
func TestClusterPrintsNoSecret(t *testing.T) {
	ca := newAuthority(t)
	c := &kafka.Cluster{
		Brokers: []string{"mill:9092"},
		Config:  settings(scram512(secret), useTLS(&tls.Config{RootCAs: ca.pool(), Certificates: ca.leaf(time.Hour)})),
	}
	var logged strings.Builder
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("cluster", "cluster", c, "value", *c)
	slog.New(slog.NewTextHandler(&logged, nil)).Info("cluster", "cluster", c, "value", *c)
	for _, s := range []string{fmt.Sprintf("%v %+v %#v", *c, c, *c), logged.String()} {
		if leaks(s) {
			t.Errorf("%s", s)
		}
	}
	if !strings.Contains(logged.String(), "mill:9092") {
		t.Errorf("nothing was logged: %s", &logged)
	}
}

// cutter is a dialer that can cut its connections.
type cutter struct {
	mu    sync.Mutex
	conns []net.Conn
}

func (c *cutter) Dial(network, addr string) (net.Conn, error) {
	conn, err := net.Dial(network, addr)
	if err == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.conns = append(c.conns, conn)
	}
	return conn, err
}

func (c *cutter) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.conns = nil
}

// TestLoginRefusedInMidRun: a password was changed. The stage stops and says
// so, and the password is nowhere.
func TestLoginRefusedInMidRun(t *testing.T) {
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-512"} {
		t.Run(mechanism, func(t *testing.T) {
			t.Parallel()
			var link cutter
			set := plain(secret)
			if mechanism != "PLAIN" {
				set = scram512(secret)
			}
			b := secured(t, settings(quick, set, func(c *sarama.Config) {
				c.Net.Proxy.Enable, c.Net.Proxy.Dialer = true, &link
			}), login(mechanism)...)
			b.Produce(t, "in", raw("k", "grain"))
			var logged ear
			s := copier(b.Cluster())
			s.Logger = slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			stopped := make(chan error, 1)
			go func() { stopped <- stage.Run(ctx, s) }()
			b.Await(t, "out", 1)

			var refused atomic.Int64
			b.Fake().ControlKey(kmsg.SASLAuthenticate.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
				b.Fake().KeepControl()
				refused.Add(1)
				resp := req.ResponseKind().(*kmsg.SASLAuthenticateResponse)
				resp.ErrorCode = kerr.SaslAuthenticationFailed.Code
				return resp, nil, true
			})
			link.cut()
			begun := time.Now()
			err := <-stopped
			t.Log(time.Since(begun))
			if err == nil || !strings.Contains(err.Error(), "the broker refused the login; check user, password and mechanism") {
				t.Errorf("%v", err)
			}
			if err != nil && leaks(fmt.Sprintf("%v %+v %#v", err, err, err)) {
				t.Errorf("the error holds the password: %v", err)
			}
			if n := logged.secrets.Load() + told.secrets.Load(); n > 0 || logged.lines.Load() == 0 || told.lines.Load() == 0 {
				t.Errorf("%d lines of the logs hold the password; %d lines", n, logged.lines.Load())
			}
			if refused.Load() == 0 {
				t.Error("no login was refused")
			}
		})
	}
}
