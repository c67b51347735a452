package stage

import "iter"

// keyed finds the strands of a lane by the hash of their key. They are chained
// through themselves, so that they come and go for next to nothing, as most do
// with every record. The zero value is empty.
type keyed struct {
	chains []*strand // a power of two; by the hash's low bits, the first strand with these
	n      int
}

func (m *keyed) chain(id uint64) **strand { return &m.chains[id&uint64(len(m.chains)-1)] }

// find gives the strand of that hash, nil if there is none.
func (m *keyed) find(id uint64) *strand {
	if m.n == 0 {
		return nil
	}
	s := *m.chain(id)
	for s != nil && s.id != id {
		s = s.chained
	}
	return s
}

// add takes in a strand of a hash that is not there.
func (m *keyed) add(s *strand) {
	if m.n == len(m.chains) {
		old := *m
		m.chains = make([]*strand, max(16, 2*m.n))
		for s := range old.all() {
			m.link(s)
		}
	}
	m.link(s)
	m.n++
}

func (m *keyed) link(s *strand) {
	first := m.chain(s.id)
	s.chained, *first = *first, s
}

// remove takes out a strand, which must be there.
func (m *keyed) remove(s *strand) {
	at := m.chain(s.id)
	for *at != s {
		at = &(*at).chained
	}
	*at, s.chained = s.chained, nil
	m.n--
}

// all goes through the strands, in no order. The one it is at may be linked
// elsewhere or taken out meanwhile, others not.
func (m *keyed) all() iter.Seq[*strand] {
	return func(yield func(*strand) bool) {
		for _, s := range m.chains {
			for s != nil {
				next := s.chained
				if !yield(s) {
					return
				}
				s = next
			}
		}
	}
}
