//go:build !amd64

package main

// What the machine can do is measured on amd64 alone.
func bandwidth(int) func() float64 { return flops }
func flops() float64               { return 0 }
