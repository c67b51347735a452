//go:build realkafka && !race

package chaos_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/millrace-go/millrace/internal/kafkaserver"
)

// testLogin lets a stage read and write by OAUTHBEARER, and holds back a token
// that the broker does not take.
func testLogin(t *testing.T, cluster *kafkaserver.Cluster) {
	for _, delivery := range []string{"at-least-once", "exactly-once"} {
		t.Run(delivery, func(t *testing.T) {
			r := newRealRig(t, cluster, "login-"+delivery, partitions, delivery == "exactly-once")
			r.special = bearer(cluster, unsigned(time.Hour))
			v, _ := r.run("1-broker/login/"+delivery, 1, 500, func(*realRig, int) {})
			r.judge(v, 0, 0)
			for _, w := range r.ended {
				holdsNoToken(t, w)
			}
		})
	}
	for name, refused := range map[string]struct{ token, says string }{
		"expired":  {unsigned(-time.Minute), "refused the token; check its expiry"},
		"no token": {noToken, "check the function given to kafka.OAuthBearer"},
		"wrong":    {"eyJhbGciOiJub25lIn0.bm9uc2Vuc2U.", "refused the token; check its expiry"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRealRig(t, cluster, "login-"+strings.ReplaceAll(name, " ", "-"), partitions, false)
			r.special = bearer(cluster, refused.token)
			w := r.start(0)
			r.drop(w) // it must not live
			select {
			case <-w.Done():
			case <-time.After(20 * time.Second): // StartTimeout would be 30
				_ = w.Kill()
				t.Fatalf("it does not say that it is refused; %s", w.end())
			}
			said := holdsNoToken(t, w)
			for _, want := range []string{refused.says, w.Brokers[0]} {
				if w.State().Success() || !strings.Contains(said, want) {
					t.Errorf("ended with %v and no word of %q:\n%s", w.State(), want, said)
				}
			}
		})
	}
}

// unsigned is a token that is valid for so long.
func unsigned(valid time.Duration) string {
	now := time.Now()
	part := func(v map[string]any) string {
		text, err := json.Marshal(v)
		if err != nil {
			panic(err) // it is a map of strings and numbers
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	return part(map[string]any{"alg": "none"}) + "." +
		part(map[string]any{"sub": "miller", "iat": now.Add(-time.Hour).Unix(), "exp": now.Add(valid).Unix()}) + "."
}

// bearer makes a worker log in by a token.
func bearer(cluster *kafkaserver.Cluster, token string) func(*job) {
	return func(j *job) {
		j.Brokers, j.Token, j.Aloud = cluster.BearerBrokers(), token, true
	}
}

// holdsNoToken looks for a worker's token in all that it said, sarama's own
// log included, and returns that.
func holdsNoToken(t *testing.T, w *worker) string {
	t.Helper()
	said, err := w.said()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(said, "sarama: ") {
		t.Errorf("%s did not log what sarama says", w.Name)
	}
	for part := range strings.SplitSeq(strings.TrimSuffix(w.Token, "."), ".") {
		if part != noToken && strings.Contains(said, part) {
			t.Errorf("the log of %s holds its token", w.Name)
		}
	}
	return said
}
