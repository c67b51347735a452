package stage

import "sync"

// acks are what writers have answered and the engine has not looked at yet.
// Writers answer record by record, from goroutines that must not wait; the
// engine takes all there is at once.
type acks struct {
	mu    sync.Mutex
	news  sync.Cond
	list  []ack
	spare []ack // the list before, to be filled again
	over  bool
}

// ack is a writer's word on one output of a task.
type ack struct {
	task  *task
	err   error
	round int // of the transaction that the output is in; exactly once only
}

func (a *acks) add(k *task, err error, round int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.list = append(a.list, ack{k, err, round})
	if len(a.list) == 1 {
		a.news.Signal()
	}
}

// take waits for answers; none: there will be no more.
func (a *acks) take() []ack {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.list) == 0 && !a.over {
		a.news.Wait()
	}
	list := a.list
	a.list, a.spare = a.spare[:0], list
	return list
}

func (a *acks) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.over = true
	a.news.Signal()
}

// hear settles what writers answer until there is no more to come.
func (e *engine) hear() {
	for {
		list := e.acks.take()
		if len(list) == 0 {
			return
		}
		e.mu.Lock()
		for _, a := range list {
			if e.delivery == ExactlyOnce {
				e.entered(a)
			} else {
				e.acknowledge(a)
			}
		}
		e.mu.Unlock()
		clear(list) // the tasks are not to be kept
	}
}
