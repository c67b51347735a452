package bigquery

import "github.com/millrace-go/millrace/stage"

// record is the rows of one record.
type record struct {
	offset int64
	rows   [][]byte
	raw    stage.Raw // the first row, for errors
	size   int
	done   []func(error)
}

// plan is what one request appends.
type plan struct {
	records []record
	offsets offsets
	rows    [][]byte
	of      []int // by row, its place in records
	noted   bool
}

func newPlan(records []record) *plan {
	p := &plan{records: records, offsets: make(offsets)}
	for i, r := range records {
		p.offsets[r.offset] = struct{}{}
		p.rows = append(p.rows, r.rows...)
		for range r.rows {
			p.of = append(p.of, i)
		}
	}
	return p
}

func (r record) answer(err error) {
	for _, done := range r.done {
		done(err)
	}
}
