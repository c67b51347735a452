"""The peers: reads a request a line, as JSON, and answers with a line.

{"rows": file, "queries": file, "dim": n}        loads float32 values
{"system": name, "batch": n, "k": n, "seconds": s}
    asks for the k nearest of batches of n queries for about s seconds, and
    answers with the median milliseconds a query, and the ids for the first batch
"""
import json
import os
import sys
import time

import numpy as np

threads = int(os.environ["OMP_NUM_THREADS"])


class NumPy:
    def __init__(self, rows):
        self.rows, self.squares = rows, (rows * rows).sum(1)

    def search(self, queries, k):
        d = self.squares[None, :] - 2 * (queries @ self.rows.T)
        i = np.argpartition(d, k, axis=1)[:, :k]
        return np.take_along_axis(i, np.argsort(np.take_along_axis(d, i, 1), 1), 1)


class Faiss:
    def __init__(self, rows):
        import faiss
        faiss.omp_set_num_threads(threads)
        self.index = faiss.IndexFlatL2(rows.shape[1])
        self.index.add(rows)

    def search(self, queries, k):
        return self.index.search(queries, k)[1]


class ScikitLearn:
    def __init__(self, rows):
        from sklearn.neighbors import NearestNeighbors
        self.index = NearestNeighbors(algorithm="brute", metric="euclidean", n_jobs=threads).fit(rows)

    def search(self, queries, k):
        return self.index.kneighbors(queries, k, return_distance=False)


class USearch:
    def __init__(self, rows):
        self.rows = rows

    def search(self, queries, k):
        from usearch.index import MetricKind, search
        found = search(self.rows, queries if len(queries) > 1 else queries[0], k, MetricKind.L2sq, exact=True, threads=threads)
        return found.keys.reshape(len(queries), -1)


makers = {"numpy": NumPy, "faiss": Faiss, "scikit-learn": ScikitLearn, "usearch": USearch}
systems, rows, queries = {}, None, None

for line in sys.stdin:
    r = json.loads(line)
    if "rows" in r:
        systems = {}
        rows = np.fromfile(r["rows"], dtype="<f4").reshape(-1, r["dim"])
        queries = np.fromfile(r["queries"], dtype="<f4").reshape(-1, r["dim"])
        print(json.dumps({}), flush=True)
        continue
    name, n = r["system"], r["batch"]
    if name not in systems:
        systems[name] = makers[name](rows)
    system = systems[name]
    batches = [queries[i:i + n] for i in range(0, len(queries) - n + 1, n)]
    ids = system.search(batches[0], r["k"])
    times, end = [], time.perf_counter() + r["seconds"]
    while not times or time.perf_counter() < end:
        batch = batches[len(times) % len(batches)]
        start = time.perf_counter()
        system.search(batch, r["k"])
        times.append(time.perf_counter() - start)
    times.sort()
    print(json.dumps({"ms": times[len(times) // 2] * 1e3 / n, "ids": np.asarray(ids).astype(int).tolist()}), flush=True)
