package similarity

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// crew is who helps a collection's searches. To wake a processor that sleeps takes
// a tenth of a millisecond, in which a search for one of 30,000 vectors is half
// done; so one helper looks out for the next search, or the next step of one, for
// about as long before it ends. The zero crew is ready, nil has nobody wait.
type crew struct {
	slot atomic.Pointer[task] // nil: nobody looks out; lookout: somebody does; else what is to be done
}

// task is what a helper does.
type task struct {
	f    func()
	done *sync.WaitGroup
}

// looks is how often a helper looks before it ends: a tenth of a millisecond, if
// no other goroutine wants to run meanwhile.
const looks = 1000

// parallel calls f with 0 to n-1, each in a goroutine, the first in this one.
func (c *crew) parallel(n int, f func(int)) {
	if c == nil || n < 2 {
		parallel(n, f)
		return
	}
	var wg sync.WaitGroup
	for i := 1; i < n; i++ {
		wg.Add(1)
		t := &task{func() { f(i) }, &wg}
		if waiting := c.slot.Load(); waiting == nil || waiting.f != nil || !c.slot.CompareAndSwap(waiting, t) {
			go c.help(t)
		}
	}
	f(0)
	wg.Wait()
}

// help does the task, and those that come until nobody has come for a while.
func (c *crew) help(t *task) {
	lookout := &task{}
	for t != nil {
		t.f()
		t.done.Done()
		t = nil
		if !c.slot.CompareAndSwap(nil, lookout) {
			return // another one looks out
		}
		for range looks {
			if c.slot.Load() != lookout {
				break
			}
			runtime.Gosched()
		}
		if !c.slot.CompareAndSwap(lookout, nil) {
			t = c.slot.Swap(nil)
		}
	}
}
