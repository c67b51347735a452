//go:build realkafka && !race

package chaos_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/Shopify/toxiproxy/v2/toxics"
	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// proxies are what workers reach the brokers by, and only they: the feed and
// the witness go straight. A worker dials a broker's proxy where it would dial
// the broker (Net.Proxy), so that the brokers need not know.
type proxies struct {
	via     via
	list    []*toxiproxy.Proxy
	metered *atomic.Int64 // bytes on the way back from the brokers
}

func newProxies(t *testing.T, brokers []string) *proxies {
	t.Helper()
	zerolog.SetGlobalLevel(zerolog.Disabled) // some toxics log to a global
	once.Do(func() { toxics.Register("meter", new(meter)) })
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	p := &proxies{via: make(via), metered: new(atomic.Int64)}
	meters.Store(t.Name(), p.metered)
	for _, addr := range brokers {
		one := toxiproxy.NewProxy(server, addr, "127.0.0.1:0", addr)
		if err := one.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(one.Stop)
		p.via[addr] = one.Listen
		p.list = append(p.list, one)
		p.toxic(t, one, "meter", fmt.Sprintf(`{"of":%q}`, t.Name()))
	}
	return p
}

// toxic puts a toxic, named as its kind, on the way back from a broker.
func (p *proxies) toxic(t *testing.T, on *toxiproxy.Proxy, kind, attributes string) {
	t.Helper()
	_, err := on.Toxics.AddToxicJson(strings.NewReader(fmt.Sprintf(
		`{"name":%q,"type":%[1]q,"stream":"downstream","attributes":%s}`, kind, attributes)))
	if err != nil {
		t.Fatal(err)
	}
}

// toxiproxy makes toxics itself, of registered types.
var (
	once   sync.Once
	meters sync.Map // the counter of each test's name
)

// meter counts the bytes that come by, on their way to the toxics behind it.
type meter struct {
	Of string `json:"of"`
}

// Pipe is a toxic's work.
func (m *meter) Pipe(stub *toxics.ToxicStub) {
	counter, _ := meters.Load(m.Of)
	for {
		select {
		case <-stub.Interrupt:
			return
		case c := <-stub.Input:
			if c == nil {
				stub.Close()
				return
			}
			counter.(*atomic.Int64).Add(int64(len(c.Data)))
			stub.Output <- c
		}
	}
}

// toxic is a fault of the network.
type toxic struct {
	kind, attributes string
	lasts            time.Duration
	// felt asks a broker something through its proxy, to see the fault.
	felt func(addr string) error
}

// realToxics hit all workers at once. They are on the way back: what a worker
// asked for has happened when its answer is late or lost.
func realToxics() []toxic {
	return []toxic{
		{"latency", `{"latency":300,"jitter":100}`, 4 * time.Second, func(addr string) error {
			took, _, err := ask(addr, 10*time.Second)
			return expect(err == nil && took >= 200*time.Millisecond, "an answer after %v: %v", took, err)
		}},
		{"reset_peer", `{"timeout":0}`, 2 * time.Second, func(addr string) error {
			took, _, err := ask(addr, 10*time.Second)
			return expect(errors.Is(err, syscall.ECONNRESET), "no reset but, after %v: %v", took, err)
		}},
		{"timeout", `{"timeout":0}`, 6 * time.Second, func(addr string) error { // beyond the session's time-out
			took, _, err := ask(addr, time.Second)
			return expect(errors.Is(err, os.ErrDeadlineExceeded), "no silence but, after %v: %v", took, err)
		}},
		{"bandwidth", `{"rate":2}`, 5 * time.Second, func(addr string) error { // kB/s
			took, size, err := ask(addr, 10*time.Second)
			least := time.Duration(size) * time.Millisecond / 2 * 9 / 10
			return expect(err == nil && size > 100 && took >= least, "%d bytes after %v: %v", size, took, err)
		}},
	}
}

func expect(ok bool, format string, args ...any) error {
	if ok {
		return nil
	}
	return fmt.Errorf(format, args...)
}

// ask asks a broker for the versions it speaks, and reports how long that
// took and how much came.
func ask(addr string, limit time.Duration) (took time.Duration, size int, err error) {
	conn, err := net.DialTimeout("tcp", addr, limit)
	if err != nil {
		return 0, 0, err
	}
	defer conn.Close()
	begun := time.Now()
	if err := conn.SetDeadline(begun.Add(limit)); err != nil {
		return 0, 0, err
	}
	body := binary.BigEndian.AppendUint16(nil, uint16(kmsg.ApiVersions)) // version 0, correlation 0, no client id
	body = append(body, 0, 0, 0, 0, 0, 0, 0xff, 0xff)
	if _, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)); err != nil {
		return time.Since(begun), 0, err
	}
	head := make([]byte, 4)
	if _, err := io.ReadFull(conn, head); err != nil {
		return time.Since(begun), 0, err
	}
	rest, err := io.Copy(io.Discard, io.LimitReader(conn, int64(binary.BigEndian.Uint32(head))))
	return time.Since(begun), int(rest), err
}

// poison is a scenario's fault: a toxic in front of every broker, for as long
// as it lasts.
func (f toxic) poison(r *realRig, _ int) {
	r.pause(400 * time.Millisecond)
	begun, before := time.Now(), r.proxies.metered.Load()
	for _, one := range r.proxies.list {
		r.proxies.toxic(r.t, one, f.kind, f.attributes)
	}
	time.Sleep(f.lasts / 2)
	// A worker that was just hit before may still wait to join again.
	r.await("answers to workers in the "+f.kind, func(context.Context) (bool, error) {
		return r.proxies.metered.Load() > before, nil
	})
	var errs []error
	for _, addr := range r.proxies.via {
		errs = append(errs, f.felt(addr))
	}
	if err := errors.Join(errs...); err != nil {
		r.t.Errorf("%s: %v", f.kind, err)
	} else {
		r.faults++
	}
	time.Sleep(time.Until(begun.Add(f.lasts)))
	for _, one := range r.proxies.list {
		if err := one.Toxics.RemoveToxic(r.t.Context(), f.kind); err != nil {
			r.t.Error(err)
		}
	}
	r.stable(r.workers...)
}
