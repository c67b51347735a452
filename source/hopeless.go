package source

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/IBM/sarama"
)

// hopeless says what to do about an error of the group that joining again
// can't mend. It returns "" for all others.
func (r *groupReader) hopeless(err error) string {
	group := r.client.Config().Consumer.Group
	for _, h := range []struct {
		err    error
		advice string
	}{
		{sarama.ErrFencedInstancedId, fmt.Sprintf("another process has joined with the same Consumer.Group.InstanceId, %q; give each process its own", group.InstanceId)},
		{sarama.ErrInconsistentGroupProtocol, "the group's members share no balance strategy with this one, which has " + strings.Join(strategies(r.client.Config()), ", ") + "; stop them first, take another group, or add theirs to Consumer.Group.Rebalance.GroupStrategies in Cluster.Config"},
		{sarama.ErrInvalidSessionTimeout, fmt.Sprintf("the broker takes no Consumer.Group.Session.Timeout of %v; set one between its group.min.session.timeout.ms and group.max.session.timeout.ms", group.Session.Timeout)},
		{sarama.ErrGroupAuthorizationFailed, "no permission for the group; let this client's user READ it"},
		{sarama.ErrTopicAuthorizationFailed, "no permission for the topics; let this client's user READ them"},
		{sarama.ErrSASLAuthenticationFailed, "the broker refused the login; check user, password and mechanism in Cluster.Config"},
		{sarama.ErrUnknownTopicOrPartition, "a topic does not exist any more; create it again, or stop reading it"},
		{sarama.ErrOffsetOutOfRange, "its offset no longer exists, the records were deleted before they were read; reset the group's offsets"},
	} {
		if errors.Is(err, h.err) {
			return h.advice
		}
	}
	return ""
}

// refused is the error that stops the stage.
func (r *groupReader) refused(advice string, err error) error {
	return fmt.Errorf("source: consumer group %q on %s: %s: %w", r.opts.group, strings.Join(r.opts.topics, ", "), advice, err)
}

// passes reports whether an error that looks hopeless is not: a broker that
// has just started may not know a topic yet.
func (r *groupReader) passes(ctx context.Context, err error) bool {
	about, ok := errors.AsType[*sarama.ConsumerError](err)
	if !ok || !errors.Is(err, sarama.ErrUnknownTopicOrPartition) {
		return false
	}
	for range 3 {
		if !errors.Is(r.client.RefreshMetadata(about.Topic), sarama.ErrUnknownTopicOrPartition) {
			return true
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return true // nobody asks any more
		}
	}
	return false
}

// strategies are the names of a config's balance strategies.
func strategies(cfg *sarama.Config) (names []string) {
	all := cfg.Consumer.Group.Rebalance.GroupStrategies
	if s := cfg.Consumer.Group.Rebalance.Strategy; s != nil { // the old field goes before
		all = []sarama.BalanceStrategy{s}
	}
	for _, s := range all {
		names = append(names, s.Name())
	}
	return names
}
