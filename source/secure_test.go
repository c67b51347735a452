package source_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-go/millrace/sink"
	"github.com/millrace-go/millrace/source"
	"github.com/millrace-go/millrace/stage"
	"github.com/millrace-go/millrace/stage/kafka"
	"github.com/millrace-go/millrace/stage/kafkatest"
)

const (
	user   = "miller"
	secret = "s3cret-Grist"
	wrong  = "s3cret-Chaff"
)

// told counts what sarama logs, and where a password is in it.
var told ear

type ear struct{ lines, secrets atomic.Int64 }

// Write takes what is logged.
func (e *ear) Write(p []byte) (int, error) {
	e.lines.Add(1)
	if leaks(string(p)) {
		e.secrets.Add(1)
	}
	return len(p), nil
}

// leaks looks for what both passwords begin with, and for all that is hidden.
func leaks(s string) bool {
	hidden.mu.Lock()
	defer hidden.mu.Unlock()
	return strings.Contains(s, "s3cret") || slices.ContainsFunc(hidden.forms, func(h string) bool { return strings.Contains(s, h) })
}

// hidden are secrets, in the forms in which they may come out.
var hidden struct {
	mu    sync.Mutex
	forms []string
}

// hide adds a secret of at least a few bytes.
func hide(b []byte) {
	hidden.mu.Lock()
	defer hidden.mu.Unlock()
	line, _, _ := strings.Cut(string(pem.EncodeToMemory(&pem.Block{Type: "X", Bytes: b}))[len("-----BEGIN X-----\n"):], "\n")
	printed := fmt.Sprintf("%v", b)
	hidden.forms = append(hidden.forms, string(b), hex.EncodeToString(b), base64.StdEncoding.EncodeToString(b), printed[1:len(printed)-1], line)
}

func TestMain(m *testing.M) {
	for _, p := range []string{secret, wrong} {
		hide([]byte(p))
		hide([]byte("\x00" + user + "\x00" + p)) // what PLAIN sends
	}
	sarama.Logger = log.New(&told, "", 0)
	sarama.DebugLogger = sarama.Logger
	os.Exit(m.Run())
}

// authority signs certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t}
	a.key, a.cert = a.make(&x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, time.Hour)
	return a
}

func (a *authority) make(c *x509.Certificate, valid time.Duration) (*ecdsa.PrivateKey, *x509.Certificate) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c.SerialNumber, c.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: "test"}
	c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(valid)
	parent, by := a.cert, a.key
	if parent == nil {
		parent, by = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, by)
	if err != nil {
		a.t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	scalar, err := key.Bytes()
	if err != nil {
		a.t.Fatal(err)
	}
	der, err = x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	hide(scalar)
	hide(der)
	hidden.mu.Lock()
	hidden.forms = append(hidden.forms, new(big.Int).SetBytes(scalar).String())
	hidden.mu.Unlock()
	return key, made
}

func (a *authority) leaf(valid time.Duration) []tls.Certificate {
	key, cert := a.make(&x509.Certificate{
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, valid)
	return []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// settings of a client, one after another.
func settings(of ...func(*sarama.Config)) func(*sarama.Config) {
	return func(c *sarama.Config) {
		for _, set := range of {
			set(c)
		}
	}
}

func useTLS(use *tls.Config) func(*sarama.Config) {
	return func(c *sarama.Config) { c.Net.TLS.Enable, c.Net.TLS.Config = true, use }
}

func plain(password string) func(*sarama.Config) {
	return func(c *sarama.Config) {
		c.Net.SASL.Enable, c.Net.SASL.User, c.Net.SASL.Password = true, user, password
	}
}

func scram512(password string) func(*sarama.Config) {
	return func(c *sarama.Config) { kafka.SCRAM512(c, user, password) }
}

func scram256(password string) func(*sarama.Config) {
	return func(c *sarama.Config) { kafka.SCRAM256(c, user, password) }
}

type noToken struct{}

func (noToken) Token() (*sarama.AccessToken, error) { return &sarama.AccessToken{Token: secret}, nil }

func bearer(c *sarama.Config) {
	c.Net.SASL.Enable, c.Net.SASL.Mechanism, c.Net.SASL.TokenProvider = true, sarama.SASLTypeOAuth, noToken{}
}

func login(mechanism string) []kfake.Opt {
	return []kfake.Opt{kfake.EnableSASL(), kfake.Superuser(mechanism, user, secret)}
}

func secured(t *testing.T, config func(*sarama.Config), opts ...kfake.Opt) *kafkatest.Broker {
	t.Helper()
	b, err := kafkatest.New(kafkatest.Options{Fake: opts, Config: config})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	for _, topic := range []string{"in", "out"} {
		if err := b.CreateTopic(topic, 1); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func TestStageOverTLSAndLogins(t *testing.T) {
	ca := newAuthority(t)
	secure := kfake.TLS(&tls.Config{Certificates: ca.leaf(time.Hour)})
	trust := useTLS(&tls.Config{RootCAs: ca.pool()})
	for name, on := range map[string]struct {
		broker []kfake.Opt
		client func(*sarama.Config)
	}{
		"PLAIN over TLS":         {append(login("PLAIN"), secure), settings(trust, plain(secret))},
		"SCRAM-SHA-256 over TLS": {append(login("SCRAM-SHA-256"), secure), settings(trust, scram256(secret))},
		"SCRAM-SHA-512 over TLS": {append(login("SCRAM-SHA-512"), secure), settings(trust, scram512(secret))},
		"TLS of both sides": {
			[]kfake.Opt{kfake.TLS(&tls.Config{Certificates: ca.leaf(time.Hour), ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.pool()})},
			useTLS(&tls.Config{RootCAs: ca.pool(), Certificates: ca.leaf(time.Hour)}),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var logged ear
			b := secured(t, on.client, on.broker...)
			b.Produce(t, "in", raw("key", "grain"), raw("key", "flour"))
			c := b.Cluster()
			s := copier(c, source.UntilEnd())
			s.Delivery, s.TransactionalID = stage.ExactlyOnce, "upper"
			s.Logger = slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
			if err := stage.Run(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			err := stage.Run(t.Context(), &stage.Stage[string, string]{
				Source:    source.Kafka(c, topic("out"), "reader", source.UntilEnd()),
				Transform: stage.Map(func(_ context.Context, s string) (string, error) { return s, nil }),
				Sink:      sink.JSONLines[string](&out),
				Logger:    quiet,
			})
			if got, want := out.String(), "\"GRAIN\"\n\"FLOUR\"\n"; err != nil || got != want {
				t.Errorf("out holds %q, want %q; %v", got, want, err)
			}
			if n := logged.secrets.Load() + told.secrets.Load(); n > 0 || told.lines.Load() == 0 {
				t.Errorf("%d lines of the logs hold the password", n)
			}
		})
	}
}

// strict closes what is far too long to be a request, as Kafka does
// (socket.request.max.bytes); kfake would wait for the rest.
type strict struct{ net.Listener }

func (l strict) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &measured{Conn: conn}, nil
}

type measured struct {
	net.Conn
	first sync.Once
}

func (c *measured) Read(p []byte) (n int, err error) {
	n, err = c.Conn.Read(p)
	c.first.Do(func() {
		if n >= 4 && binary.BigEndian.Uint32(p) > 100<<20 {
			n, err = 0, errors.Join(errors.New("too long"), c.Close())
		}
	})
	return n, err
}

// curt ends what goes on after a handshake, without an alert.
type curt struct{ net.Listener }

func (l curt) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return curtConn{conn}, err
}

type curtConn struct{ net.Conn }

func (c curtConn) Read([]byte) (int, error) {
	return 0, errors.Join(c.Conn.(*tls.Conn).Handshake(), io.EOF)
}

// answer makes the broker answer each request of a key by an error.
func answer(b *kafkatest.Broker, key kmsg.Key, code int16) {
	b.Fake().ControlKey(key.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.Fake().KeepControl()
		switch resp := req.ResponseKind().(type) {
		case *kmsg.SASLHandshakeResponse:
			resp.ErrorCode = code
			return resp, nil, true
		case *kmsg.SASLAuthenticateResponse:
			resp.ErrorCode = code
			return resp, nil, true
		}
		return nil, nil, false
	})
}

// TestRefusalSaysWhatToDoAtOnce gives each start an hour. What can't succeed
// has to say so long before.
func TestRefusalSaysWhatToDoAtOnce(t *testing.T) {
	ca, stranger := newAuthority(t), newAuthority(t)
	secure := []kfake.Opt{kfake.TLS(&tls.Config{Certificates: ca.leaf(time.Hour)})}
	mutual := []kfake.Opt{kfake.TLS(&tls.Config{Certificates: ca.leaf(time.Hour), ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.pool()})}
	trust := useTLS(&tls.Config{RootCAs: ca.pool()})
	ends := kfake.ListenFn(func(network, addr string) (net.Listener, error) {
		l, err := tls.Listen(network, addr, &tls.Config{Certificates: ca.leaf(time.Hour)})
		return curt{l}, err
	})
	listen := kfake.ListenFn(func(network, addr string) (net.Listener, error) {
		l, err := net.Listen(network, addr)
		return strict{l}, err
	})
	for name, on := range map[string]struct {
		broker  []kfake.Opt
		client  func(*sarama.Config)
		answers map[kmsg.Key]int16
		want    string
	}{
		"wrong password":                {append(login("PLAIN"), secure...), settings(trust, plain(wrong)), map[kmsg.Key]int16{kmsg.SASLAuthenticate: kerr.SaslAuthenticationFailed.Code}, "refused the login; check user, password"},
		"wrong password, closed":        {append(login("PLAIN"), secure...), settings(trust, plain(wrong)), nil, "closes the connection at the login; check user, password"},
		"wrong SCRAM password":          {login("SCRAM-SHA-512"), scram512(wrong), map[kmsg.Key]int16{kmsg.SASLAuthenticate: kerr.SaslAuthenticationFailed.Code}, "refused the login; check user, password"},
		"wrong SCRAM password, closed":  {login("SCRAM-SHA-256"), scram256(wrong), nil, "closes the connection at the login; check user, password"},
		"login not offered":             {login("PLAIN"), bearer, nil, "does not offer the login OAUTHBEARER; set Net.SASL.Mechanism"},
		"login where none is taken":     {nil, plain(secret), map[kmsg.Key]int16{kmsg.SASLHandshake: kerr.IllegalSaslState.Code}, "takes no login at this port"},
		"no login":                      {login("PLAIN"), settings(), nil, "if it wants a login, set Net.SASL"},
		"unknown CA":                    {secure, useTLS(&tls.Config{RootCAs: stranger.pool()}), nil, "put the CA's certificate into Net.TLS.Config.RootCAs"},
		"other name":                    {secure, useTLS(&tls.Config{RootCAs: ca.pool(), ServerName: "mill.example"}), nil, "set Net.TLS.Config.ServerName"},
		"expired":                       {[]kfake.Opt{kfake.TLS(&tls.Config{Certificates: ca.leaf(-time.Hour)})}, trust, nil, "is not valid; renew it"},
		"no client certificate":         {mutual, trust, nil, "set Net.TLS.Config.Certificates"},
		"client certificate of another": {mutual, useTLS(&tls.Config{RootCAs: ca.pool(), Certificates: stranger.leaf(time.Hour)}), nil, "set Net.TLS.Config.Certificates"},
		"closed after the handshake":    {[]kfake.Opt{ends}, trust, nil, "if it wants a client certificate, set Net.TLS.Config.Certificates"},
		"plain client at a TLS port":    {secure, settings(), nil, "speaks TLS at this port; set Net.TLS.Enable"},
		"TLS client at a plain port":    {[]kfake.Opt{listen}, trust, nil, "does not speak TLS at this port"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := secured(t, on.client, on.broker...)
			for key, code := range on.answers {
				answer(b, key, code)
			}
			c := b.Cluster()
			c.StartTimeout = time.Hour
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var logged ear
			base := stage.Stage[string, string]{
				Source:    source.Slice([]string{"grain"}),
				Transform: stage.Map(func(_ context.Context, s string) (string, error) { return s, nil }),
				Sink:      sink.JSONLines[string](&bytes.Buffer{}),
				Logger:    slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug})),
			}
			reads, writes := base, base
			reads.Source = source.Kafka(c, topic("in"), "group", source.UntilEnd())
			writes.Sink = sink.Kafka(c, topic("out"))
			var all sync.WaitGroup
			for part, run := range map[string]func() error{
				"source":  func() error { return stage.Run(ctx, &reads) },
				"sink":    func() error { return stage.Run(ctx, &writes) },
				"check":   func() error { return stage.Check(ctx, &reads, &writes) },
				"cluster": func() error { return c.Check(ctx, "in") },
			} {
				all.Go(func() {
					err := run()
					if err == nil || !strings.Contains(err.Error(), on.want) || !strings.Contains(err.Error(), b.Addrs()[0]) {
						t.Errorf("%s: %v, want %q", part, err, on.want)
					}
					if err != nil && leaks(err.Error()) {
						t.Errorf("%s: the error holds the password: %v", part, err)
					}
				})
			}
			all.Wait()
			if n := logged.secrets.Load() + told.secrets.Load(); n > 0 || told.lines.Load() == 0 {
				t.Errorf("%d lines of the logs hold the password", n)
			}
		})
	}
}
