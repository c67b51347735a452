//go:build !linux

package huge

func advise([]float32) {}
