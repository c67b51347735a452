package bigquery_test

import (
	"testing"
)

// BenchmarkAppendOnce writes rows of a lane, a thousand at a time, to a service
// on this machine that answers at once: what the sink itself costs.
func BenchmarkAppendOnce(b *testing.B) {
	f := startFake(b)
	o := own(b, f.table(b), "").commits()
	const part = 1000
	rows := 0
	for b.Loop() {
		numbers := make([]int, part)
		for i := range numbers {
			numbers[i] = rows + i
		}
		rows += part
		o.mu.Lock()
		o.low = int64(rows - part) // all before is done
		o.mu.Unlock()
		o.write(numbers...).written()
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
}
