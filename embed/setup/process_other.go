//go:build !unix

package main

import (
	"errors"
	"os"
	"os/exec"
)

// No platform of this kind is in the table; these let the program compile
// there and say so.

func tryLock(*os.File) (bool, error) { return false, errors.ErrUnsupported }

func killWithChildren(*exec.Cmd) {}
