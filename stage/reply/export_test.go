package reply

import "time"

// Fault is the last fault in reading the answers.
func (a *Asker[Q, A]) Fault() error { return a.client.listener.faultSince(time.Time{}) }
