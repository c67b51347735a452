"""Fits and applies PCA as one peer does, at the command of the benchmark: a
line in, a line of JSON out. Arguments: the peer, the vectors, the components."""

import json
import sys
import time

import numpy as np

peer, path, k = sys.argv[1], sys.argv[2], int(sys.argv[3])
x = np.load(path)
if peer.endswith(" float64"):  # its sums are in the precision of what it is given
    peer, x = peer.removesuffix(" float64"), x.astype(np.float64)


class ScikitLearn:
    def fit(self, x):
        from sklearn.decomposition import PCA

        self.pca = PCA(k, svd_solver="covariance_eigh").fit(x)
        self.components = self.pca.components_

    def apply(self, x):
        return self.pca.transform(x)


class Numpy:
    """By hand: the covariance in float32, its eigenvectors in float64."""

    def fit(self, x):
        mean = x.mean(0, dtype=np.float64)
        c = (x.T @ x).astype(np.float64)
        c = (c - len(x) * np.outer(mean, mean)) / (len(x) - 1)
        self.components = np.linalg.eigh(c)[1][:, ::-1][:, :k].T
        self.mean, self.matrix = mean.astype(np.float32), self.components.T.astype(np.float32)

    def apply(self, x):
        return (x - self.mean) @ self.matrix


class Faiss:
    def fit(self, x):
        import faiss

        self.pca = faiss.PCAMatrix(x.shape[1], k)
        self.pca.train(x)
        self.components = faiss.vector_to_array(self.pca.A).reshape(k, -1)

    def apply(self, x):
        return self.pca.apply(x)


p = {"scikit-learn": ScikitLearn, "numpy": Numpy, "faiss": Faiss}[peer]()


def clock(f):
    begin = time.perf_counter()
    f()
    return time.perf_counter() - begin


def one(n):
    rows = [x[i : i + 1] for i in range(n)]
    return clock(lambda: [p.apply(row) for row in rows]) / n


p.fit(x[: 4 * k])  # what is loaded and compiled at the first call is not timed
p.apply(x[:64])
print(json.dumps({"seconds": 0}), flush=True)
for line in sys.stdin:
    command, *rest = line.split()
    if command == "fit":
        seconds = clock(lambda: p.fit(x))
    elif command == "all":
        seconds = clock(lambda: p.apply(x))
    elif command == "one":
        seconds = one(int(rest[0]))
    elif command == "save":  # the components of a fit in float64
        p.fit(x.astype(np.float64))
        np.save(rest[0], p.components.astype(np.float64))
        seconds = 0
    elif command == "take":  # what a PCA that somebody else has exported makes of some vectors
        from sklearn.decomposition import PCA

        pca = PCA()
        for name, value in np.load(rest[0]).items():
            setattr(pca, name, value if value.ndim else value.item())
        np.save(rest[1], pca.transform(x[: int(rest[2])].astype(np.float64)))
        seconds = 0
    elif command == "give":  # the PCA as people save it, and what it makes of some vectors
        order, dtype = rest[3:]
        arrays = {
            name: np.asarray(value, dtype, order=order) if isinstance(value, np.ndarray) else value
            for name, value in vars(p.pca).items()
            if name.endswith("_") and not isinstance(value, str)
        }
        np.savez(rest[0], whiten=p.pca.whiten, **arrays)
        np.save(rest[1], p.apply(x[: int(rest[2])].astype(np.float64)))
        seconds = 0
    print(json.dumps({"seconds": seconds}), flush=True)
