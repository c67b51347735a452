package main

import (
	"context"
	"fmt"
	"time"

	"github.com/millrace-go/millrace/stage"
)

// contender is who takes a turn.
type contender struct {
	name   string
	system string
	order  stage.Order
}

func contenders() []contender {
	return []contender{
		{"loop", "sarama", 0},
		{"stage, ByPartition", "millrace", stage.ByPartition},
		{"stage, ByKey", "millrace", stage.ByKey},
		{"loop again", "sarama", 0},
	}
}

// run is what a contender has done once.
type run struct {
	rate float64 // records/s, by the broker's clock, from the first output to the last
	cost
}

// turn lets a contender pass all records on.
func (b *bench) turn(ctx context.Context, who contender, delivery string) (r run, err error) {
	b.turns++
	j := job{
		System: who.system, Order: who.order, Delivery: delivery, Brokers: b.broker.addrs, In: b.in,
		Out: fmt.Sprintf("%s-out-%d", b.prefix, b.turns), Group: fmt.Sprintf("%s-%d", b.prefix, b.turns),
		Profile: b.profile(who.system, delivery),
	}
	if err := b.broker.create(ctx, j.Out, partitions); err != nil {
		return r, err
	}
	defer func() { _ = b.broker.remove(ctx, j.Out) }() // the disk is large
	p, err := j.start()
	if err != nil {
		return r, err
	}
	limit, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	for {
		n, err := b.broker.ends(limit, j.Out)
		if n >= int64(b.records) {
			break
		}
		if err == nil && p.Ended() {
			err = fmt.Errorf("stream: %s ended by itself: %v: %s", who.name, p.State(), p.out.String())
		}
		if err != nil {
			return r, err
		}
		time.Sleep(200 * time.Millisecond)
	}
	time.Sleep(500 * time.Millisecond) // markers are counted, too: some records may still be to come
	if r.cost, err = p.stop(limit); err != nil {
		return r, fmt.Errorf("stream: %s: %w", who.name, err)
	}
	c, err := b.broker.read(limit, j.Out, b.records)
	if err != nil {
		return r, err
	}
	if c.different != b.records || c.records != b.records {
		return r, fmt.Errorf("stream: %s has passed on %d records, %d different ones, of %d", who.name, c.records, c.different, b.records)
	}
	r.rate = float64(b.records) / c.last.Sub(c.first).Seconds()
	return r, nil
}
