package similarity

import (
	"runtime"
	"sync/atomic"
)

// batchProjector is the encoder of many items, which a table takes one by one:
// it projects the next ones at once, on all processors.
type batchProjector struct {
	*projector
	items   []Item // those that are to come; the first ones are projected
	scanned [][]float32
}

// batchItems is how many are projected at once: few enough not to take much
// memory beside the table's.
const batchItems = 4096

// encode is for the next item, whose values are given.
func (b *batchProjector) encode(values []float32) row {
	if len(b.scanned) == 0 {
		b.scanned = make([][]float32, min(batchItems, len(b.items)))
		b.each(len(b.scanned), func(p *projector, i int) { b.scanned[i] = p.project(b.items[i].Vector.Values) })
	}
	scanned := b.scanned[0]
	b.items, b.scanned = b.items[1:], b.scanned[1:]
	return b.row(scanned, values)
}

// each calls f with 0 to n-1, from several goroutines if that is worth it, each
// of which has a projector of its own.
func (e *projector) each(n int, f func(p *projector, i int)) {
	var next atomic.Int64
	parallel(min(runtime.GOMAXPROCS(0), (n+3)/4), func(int) {
		p := e.clone()
		for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
			f(p, i)
		}
	})
}
