package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/IBM/sarama"
)

// OAuthBearer makes a client log in by OAUTHBEARER. It is to be called in
// [Cluster.Config]. token is called for each connection, from several
// goroutines, and when the broker asks for another login; it should keep a
// token until that is about to expire. Its context ends with Net.DialTimeout.
//
// The token goes over the wire as it is: set Net.TLS, too.
func OAuthBearer(c *sarama.Config, token func(context.Context) (string, error)) {
	c.Net.SASL.Enable = true
	c.Net.SASL.Mechanism = sarama.SASLTypeOAuth
	c.Net.SASL.TokenProvider = bearer{c, token}
}

var errNoToken = errors.New("no token to log in with")

// bearer is what sarama asks for tokens.
type bearer struct {
	config *sarama.Config
	token  func(context.Context) (string, error)
}

// Token returns a token that is valid now.
func (b bearer) Token() (*sarama.AccessToken, error) {
	ctx, cancel := context.WithTimeout(context.Background(), b.config.Net.DialTimeout)
	defer cancel()
	token, err := b.token(ctx)
	if err == nil && token == "" {
		err = errors.New("an empty token")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoToken, err)
	}
	return &sarama.AccessToken{Token: token}, nil
}
