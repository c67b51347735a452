//go:build !amd64

package main

// What the machine can do is measured on amd64 alone.
func bandwidth(int) float64 { return 0 }
func flops() float64        { return 0 }
