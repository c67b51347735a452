package emulator

import (
	"errors"
)

// Python names the interpreter that the emulator runs in, for tests that
// compare with numpy, which is there too. It is an error if the emulator is not
// installed.
func Python() (string, error) {
	dir, err := folder()
	if err != nil {
		return "", err
	}
	if !complete(dir) {
		return "", errors.New("emulator: not installed: run make setup")
	}
	return interpreter(dir), nil
}
