package main

import (
	"runtime"
	"sync"
	"time"

	"github.com/millrace-go/millrace/internal/huge"
	"github.com/millrace-go/millrace/internal/simd"
)

//go:noescape
func read(p *byte, n int)

//go:noescape
func fmaAVX2(n int)

//go:noescape
func fmaAVX512(n int)

// bandwidth returns a measurement of how many GB/s all processors read of size
// bytes, in pages as large as an index has.
func bandwidth(size int) func() float64 {
	workers := runtime.GOMAXPROCS(0)
	part := size / workers &^ 511
	memory := huge.Bytes(part * workers)
	for i := 0; i < len(memory); i += 4096 {
		memory[i] = 1
	}
	times := 1 + (1<<30)/len(memory)
	return func() float64 {
		return rate(float64(len(memory))*float64(times), func(w int) {
			for range times {
				read(&memory[w*part], part)
			}
		})
	}
}

// flops measures how many GFLOP/s all processors do by the widest instructions
// that the kernels use; 0 if they have none.
func flops() float64 {
	const times = 8_000_000
	lanes, fma := 8, fmaAVX2
	switch simd.Best() {
	case simd.Portable:
		return 0
	case simd.AVX512:
		lanes, fma = 16, fmaAVX512
	case simd.AVX2:
	}
	return rate(float64(runtime.GOMAXPROCS(0)*times*12*2*lanes), func(int) { fma(times) })
}

// rate is how much of the work is done in a nanosecond, by f on each processor.
func rate(work float64, f func(w int)) float64 {
	start := time.Now()
	together(runtime.GOMAXPROCS(0), f)
	return work / float64(time.Since(start).Nanoseconds())
}

func together(workers int, f func(w int)) {
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() { f(w) })
	}
	wg.Wait()
}
