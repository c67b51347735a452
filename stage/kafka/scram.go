package kafka

import (
	"context"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// SCRAM256 makes a client log in by SCRAM-SHA-256. It is to be called in
// [Cluster.Config]. The password does not leave the process, but only TLS keeps
// others from listening to the rest.
func SCRAM256(c *sarama.Config, user, password string) {
	useSCRAM(c, sarama.SASLTypeSCRAMSHA256, user, password, scram.Auth.AsSha256Mechanism)
}

// SCRAM512 is [SCRAM256] with SHA-512.
func SCRAM512(c *sarama.Config, user, password string) {
	useSCRAM(c, sarama.SASLTypeSCRAMSHA512, user, password, scram.Auth.AsSha512Mechanism)
}

func useSCRAM(c *sarama.Config, name sarama.SASLMechanism, user, password string, by func(scram.Auth) sasl.Mechanism) {
	c.Net.SASL.Enable = true
	c.Net.SASL.Mechanism = name
	c.Net.SASL.User, c.Net.SASL.Password = user, password
	c.Net.SASL.SCRAMClientGeneratorFunc = func() sarama.SCRAMClient { return &conversation{mechanism: by} }
}

// conversation is one login, which franz-go leads for sarama.
type conversation struct {
	mechanism func(scram.Auth) sasl.Mechanism
	session   sasl.Session
	first     []byte // what to begin with; then nil
	done      bool
}

func (c *conversation) Begin(user, password, authzID string) (err error) {
	auth := scram.Auth{User: user, Pass: password, Zid: authzID}
	c.session, c.first, err = c.mechanism(auth).Authenticate(context.Background(), "")
	return err
}

func (c *conversation) Step(challenge string) (string, error) {
	if c.first != nil {
		first := c.first
		c.first = nil
		return string(first), nil
	}
	done, reply, err := c.session.Challenge([]byte(challenge))
	c.done = done
	return string(reply), err
}

func (c *conversation) Done() bool { return c.done }
