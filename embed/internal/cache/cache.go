// Package cache says where in the cache folder the installer (embed/setup) puts
// things, so that embed finds them there.
package cache

import (
	"fmt"
	"runtime"
)

// The versions that are installed: those the Go bindings were made for.
const (
	RuntimeVersion    = "1.29.0"  // of ONNX Runtime, for onnxruntime_go v1.35.0
	TokenizersVersion = "v1.27.0" // of github.com/daulet/tokenizers
)

// Runtime is the folder of ONNX Runtime, below the cache folder.
func Runtime() string {
	return fmt.Sprintf("onnxruntime-%s-%s-%s", RuntimeVersion, runtime.GOOS, runtime.GOARCH)
}

// Library is the name of ONNX Runtime's library, in its folder.
func Library() string {
	if runtime.GOOS == "darwin" {
		return "libonnxruntime.dylib"
	}
	return "libonnxruntime.so"
}

// Tokenizers is the folder of libtokenizers.a, below the cache folder.
func Tokenizers() string {
	return fmt.Sprintf("tokenizers-%s-%s-%s", TokenizersVersion, runtime.GOOS, runtime.GOARCH)
}

// Models is the folder of the models, below the cache folder.
const Models = "models"
