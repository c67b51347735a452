package main

import (
	_ "embed"

	"github.com/millrace-go/millrace/benchmarks/internal/pyenv"
)

//go:embed peers/peer.py
var program []byte

//go:embed peers/requirements.txt
var requirements []byte

//go:embed peers/requirements-torch.txt
var torchRequirements []byte

func small() pyenv.Environment {
	return pyenv.Environment{Name: "embed-peers", Size: "300 MB", Requirements: requirements}
}

func large() pyenv.Environment {
	return pyenv.Environment{Name: "embed-peers-torch", Size: "6 GB, of which 3 GB are to fetch", Requirements: torchRequirements}
}
