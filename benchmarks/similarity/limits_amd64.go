package main

import (
	"runtime"
	"sync"
	"time"

	"github.com/millrace-go/millrace/internal/simd"
)

//go:noescape
func read(p *byte, n int)

//go:noescape
func fmaAVX2(n int)

//go:noescape
func fmaAVX512(n int)

// bandwidth is how many GB/s all processors read of size bytes, at best.
func bandwidth(size int) float64 {
	workers := runtime.GOMAXPROCS(0)
	part := size / workers &^ 511
	memory := make([]byte, part*workers)
	for i := 0; i < len(memory); i += 4096 {
		memory[i] = 1
	}
	times := 1 + (1<<30)/len(memory)
	return best(func() {
		together(workers, func(w int) {
			for range times {
				read(&memory[w*part], part)
			}
		})
	}, float64(len(memory))*float64(times))
}

// flops is how many GFLOP/s all processors do by the widest instructions that
// the kernels use, at best; 0 if they have none.
func flops() float64 {
	const times = 20_000_000
	lanes, fma := 8, fmaAVX2
	switch simd.Best() {
	case simd.Portable:
		return 0
	case simd.AVX512:
		lanes, fma = 16, fmaAVX512
	case simd.AVX2:
	}
	workers := runtime.GOMAXPROCS(0)
	return best(func() { together(workers, func(int) { fma(times) }) }, float64(workers*times*12*2*lanes))
}

func best(f func(), work float64) float64 {
	most := 0.0
	for range 5 {
		start := time.Now()
		f()
		most = max(most, work/float64(time.Since(start).Nanoseconds()))
	}
	return most
}

func together(workers int, f func(w int)) {
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() { f(w) })
	}
	wg.Wait()
}
