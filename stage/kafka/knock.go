package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/IBM/sarama"
)

// refusal is a failure that trying again can't help, and what can. It is a
// guess if it rests on a connection that was closed without a word.
type refusal struct {
	addr   string
	advice string
	sure   bool
	err    error
}

func (r *refusal) Error() string { return fmt.Sprintf("%s: %s: %v", r.addr, r.advice, r.err) }
func (r *refusal) Unwrap() error { return r.err }

// knock opens a connection, logs in, and asks for something that every broker
// answers. It returns what sarama's clients only log.
func knock(ctx context.Context, cfg *sarama.Config, addr string) error {
	probe := *cfg
	// So that the handshake has a time-out, too.
	probe.Net.TLS.Enable = false
	probe.Net.Proxy.Enable = true
	probe.Net.Proxy.Dialer = dialFunc(func(_, addr string) (net.Conn, error) { return dial(ctx, cfg, addr) })
	probe.Net.ReadTimeout = min(cfg.Net.ReadTimeout, 5*time.Second)
	b := sarama.NewBroker(addr)
	if err := b.Open(&probe); err != nil {
		return err
	}
	defer func() { _ = b.Close() }() // it has only asked
	if _, err := b.Connected(); err != nil {
		return err
	}
	_, err := b.ApiVersions(&sarama.ApiVersionsRequest{})
	return err
}

// explainKnock says what to do about a failed knock, if it is clear.
func explainKnock(ctx context.Context, cfg *sarama.Config, addr string, err error) error {
	refuse := func(sure bool, advice string) error {
		return &refusal{addr: addr, advice: advice, sure: sure, err: err}
	}
	if advice := told(cfg, err); advice != "" {
		return refuse(true, advice)
	}
	if errors.Is(err, errNoToken) { // who gives it may be away for a moment
		return refuse(false, "check the function given to kafka.OAuthBearer in Cluster.Config")
	}
	if !closed(err) && !silent(err) {
		return fmt.Errorf("%s: %w", addr, err)
	}
	// The other side said nothing. How does it take the other ways?
	plain := *cfg
	plain.Net.SASL.Enable = false
	if cfg.Net.SASL.Enable && closed(err) && knock(ctx, &plain, addr) == nil {
		return refuse(false, "the broker closes the connection at the login; check user, password and mechanism in Cluster.Config")
	}
	plain.Net.TLS.Enable = false
	switch {
	case cfg.Net.TLS.Enable && knock(ctx, &plain, addr) == nil:
		return refuse(true, "the broker does not speak TLS at this port; take the port of its TLS listener, or leave Net.TLS off in Cluster.Config")
	case !cfg.Net.TLS.Enable && speaksTLS(ctx, cfg, addr):
		return refuse(true, "the broker speaks TLS at this port; set Net.TLS.Enable in Cluster.Config, or take the port of a plain listener")
	case cfg.Net.TLS.Enable && closed(err) && shakesHands(ctx, cfg, addr):
		return refuse(false, "the broker closes the connection after the TLS handshake; if it wants a client certificate, set Net.TLS.Config.Certificates in Cluster.Config")
	}
	return fmt.Errorf("%s: %w", addr, err)
}

// told returns what to do about an error that says itself what is wrong.
func told(cfg *sarama.Config, err error) string {
	switch {
	case errors.Is(err, sarama.ErrSASLAuthenticationFailed) && cfg.Net.SASL.Mechanism == sarama.SASLTypeOAuth:
		return "the broker refused the token; check its expiry, issuer, audience and scope, and who gives it (kafka.OAuthBearer or Net.SASL.TokenProvider in Cluster.Config)"
	case errors.Is(err, sarama.ErrSASLAuthenticationFailed):
		return "the broker refused the login; check user, password and mechanism in Cluster.Config"
	case errors.Is(err, sarama.ErrUnsupportedSASLMechanism):
		return fmt.Sprintf("the broker does not offer the login %s; set Net.SASL.Mechanism in Cluster.Config to one that it does", cfg.Net.SASL.Mechanism)
	case errors.Is(err, sarama.ErrIllegalSASLState):
		return "the broker takes no login at this port; take the port of its SASL listener, or leave Net.SASL off in Cluster.Config"
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "the broker's certificate is signed by nobody this client knows; put the CA's certificate into Net.TLS.Config.RootCAs in Cluster.Config"
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "the broker's certificate is not for this address; connect by a name that it is for, or set Net.TLS.Config.ServerName in Cluster.Config"
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "the broker's certificate is not valid; renew it, or check this machine's clock"
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "the broker does not speak TLS at this port; take the port of its TLS listener, or leave Net.TLS off in Cluster.Config"
	}
	if alert(err) {
		if strings.Contains(err.Error(), "certificate") {
			return "the broker does not accept this client's certificate, or its lack of one; set Net.TLS.Config.Certificates in Cluster.Config to one by an authority that the broker knows"
		}
		return "the broker refused the TLS handshake; compare versions and cipher suites in Net.TLS.Config with the broker's"
	}
	return ""
}

// alert reports whether the other side has sent a TLS alert.
func alert(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "remote error"
}

// closed reports whether the other side closed the connection without a word.
func closed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// silent reports whether it let this side wait.
func silent(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
}

// shakesHands reports whether the TLS handshake by itself goes well.
func shakesHands(ctx context.Context, cfg *sarama.Config, addr string) bool {
	conn, err := dial(ctx, cfg, addr)
	if err != nil {
		return false
	}
	_ = conn.Close() // nothing was sent
	return true
}

// speaksTLS reports whether a TLS handshake is answered. Whose certificate it
// is does not matter here: nothing is sent.
func speaksTLS(ctx context.Context, cfg *sarama.Config, addr string) bool {
	probe := *cfg
	probe.Net.TLS.Enable = true
	probe.Net.TLS.Config = &tls.Config{InsecureSkipVerify: true}
	conn, err := dial(ctx, &probe, addr)
	if err != nil {
		return alert(err)
	}
	_ = conn.Close()
	return true
}

// dialFunc dials for sarama.
type dialFunc func(network, addr string) (net.Conn, error)

// Dial calls f.
func (f dialFunc) Dial(network, addr string) (net.Conn, error) { return f(network, addr) }

// dial connects as sarama does, and ends the TLS handshake in time.
func dial(ctx context.Context, cfg *sarama.Config, addr string) (net.Conn, error) {
	var d interface {
		Dial(network, addr string) (net.Conn, error)
	} = &net.Dialer{Timeout: cfg.Net.DialTimeout, KeepAlive: cfg.Net.KeepAlive, LocalAddr: cfg.Net.LocalAddr}
	if cfg.Net.Proxy.Enable {
		d = cfg.Net.Proxy.Dialer
	}
	conn, err := d.Dial("tcp", addr)
	if err != nil || !cfg.Net.TLS.Enable {
		return conn, err
	}
	use := &tls.Config{MinVersion: tls.VersionTLS12}
	if cfg.Net.TLS.Config != nil {
		use = cfg.Net.TLS.Config.Clone()
	}
	if use.ServerName == "" {
		if use.ServerName, _, err = net.SplitHostPort(addr); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	secure := tls.Client(conn, use)
	ctx, cancel := context.WithTimeout(ctx, cfg.Net.DialTimeout)
	defer cancel()
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // it is of no use, and err says why
		return nil, err
	}
	return secure, nil
}
