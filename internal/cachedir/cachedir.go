// Package cachedir says where all is kept that is installed or made once,
// outside of the sources.
package cachedir

import (
	"fmt"
	"os"
	"path/filepath"
)

// Dir is the cache folder: MILLRACE_CACHE, else millrace in the user's cache
// folder. It need not be there yet.
func Dir() (string, error) {
	if dir := os.Getenv("MILLRACE_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	return Usual()
}

// Usual is the cache folder where MILLRACE_CACHE is not set.
func Usual() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache folder: %w (set MILLRACE_CACHE to one)", err)
	}
	return filepath.Join(dir, "millrace"), nil
}
