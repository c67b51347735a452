package stage

import "iter"

// queue is tasks one behind the other, linked through them, so that it costs
// nothing to be in one: a task is in one queue at a time. The zero value is
// empty.
type queue struct {
	first, last *task
	n           int
}

func (q *queue) push(k *task) {
	if q.last == nil {
		q.first = k
	} else {
		q.last.next = k
	}
	q.last = k
	q.n++
}

// pop takes the first task; there must be one.
func (q *queue) pop() *task {
	k := q.first
	q.first, k.next = k.next, nil
	if q.first == nil {
		q.last = nil
	}
	q.n--
	return k
}

// putBack returns tasks to the front, in their order.
func (q *queue) putBack(tasks []*task) {
	for i := len(tasks) - 1; i >= 0; i-- {
		k := tasks[i]
		k.next = q.first
		q.first = k
		if q.last == nil {
			q.last = k
		}
		q.n++
	}
}

// all goes through the tasks. None may leave the queue meanwhile.
func (q *queue) all() iter.Seq[*task] {
	return func(yield func(*task) bool) {
		for k := q.first; k != nil && yield(k); k = k.next {
		}
	}
}

// ring is a first-in, first-out list that keeps its memory. The zero value is
// empty.
type ring[T any] struct {
	items []T // a power of two long
	first int // where the first one is, modulo len(items)
	n     int
}

func (r *ring[T]) at(i int) *T { return &r.items[(r.first+i)&(len(r.items)-1)] }

func (r *ring[T]) push(v T) {
	if r.n == len(r.items) {
		bigger := make([]T, max(16, 2*r.n))
		for i := range r.n {
			bigger[i] = *r.at(i)
		}
		r.items, r.first = bigger, 0
	}
	r.n++
	*r.at(r.n - 1) = v
}

// pop takes the first one; there must be one.
func (r *ring[T]) pop() T {
	var zero T
	v := *r.at(0)
	*r.at(0) = zero
	r.first++
	r.n--
	return v
}

// filter keeps those that keep says, in their order.
func (r *ring[T]) filter(keep func(T) bool) {
	for range r.n {
		if v := r.pop(); keep(v) {
			r.push(v)
		}
	}
}

// cut drops all but the first n.
func (r *ring[T]) cut(n int) {
	var zero T
	for ; r.n > n; r.n-- {
		*r.at(r.n - 1) = zero
	}
}
