package similarity

import (
	"runtime"
	"sync/atomic"

	"github.com/millrace-go/millrace/internal/simd"
	"github.com/millrace-go/millrace/similarity/vector"
)

// lonePrepared is how many values of queries are not worth waking a second
// goroutine for, to make them ready.
const lonePrepared = 1 << 12

// group is queries that share each row that is loaded; they are packed if they
// are more than one.
type group struct {
	members []int
	size    int // how many places there are
	packed  []float32
	codes   *simd.CodeGroup
}

// prepare makes the queries, by as many makers as there are goroutines, and
// packs them in groups.
func (s *scan) prepare(asked []vector.Vector, maker func() func(values []float32) query) {
	s.queries = make([]query, len(asked))
	everyone := make([]int, len(asked))
	for i := range everyone {
		everyone[i] = i
	}
	parts := s.parts(everyone)
	s.groups = make([]group, len(parts))
	var next atomic.Int64
	s.crew.parallel(min(runtime.GOMAXPROCS(0), 1+len(asked)*len(asked[0].Values)/lonePrepared), func(int) {
		newQuery := maker()
		for g := int(next.Add(1)) - 1; g < len(s.groups); g = int(next.Add(1)) - 1 {
			for _, i := range parts[g] {
				s.queries[i] = newQuery(asked[i].Values)
			}
			s.groups[g] = s.pack(parts[g])
		}
	})
}

// parts divides queries into those of a group each.
func (s *scan) parts(members []int) (parts [][]int) {
	for len(members) > 0 {
		n := min(s.groupOf(len(members)), len(members))
		parts, members = append(parts, members[:n:n]), members[n:]
	}
	return parts
}

// groupOf is how many places a group for n queries has.
func (s *scan) groupOf(n int) int {
	switch {
	case n == 1:
		return 1
	case s.bound.coded:
		return simd.Group
	}
	return s.kernel.GroupOf(n)
}

// pack makes a group. What it has no query for is filled up with zeros.
func (s *scan) pack(members []int) group {
	g := group{members: members, size: s.groupOf(len(members))}
	switch {
	case g.size == 1:
	case s.bound.coded:
		g.codes = simd.NewCodeGroup(simd.CodeSize(s.snapshot.width))
		for j, i := range members {
			g.codes.Set(j, s.queries[i].codes)
		}
	default:
		g.packed = make([]float32, s.snapshot.width*g.size)
		for j, i := range members {
			simd.PackGroup(g.packed, g.size, j, s.queries[i].scanned)
		}
	}
	return g
}
