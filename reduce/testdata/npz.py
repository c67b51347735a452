"""Writes sklearn-*.npz: a PCA of scikit-learn 1.9.1 as people save it.

python -m venv venv && venv/bin/pip install scikit-learn==1.9.1 numpy==2.4.6
venv/bin/python npz.py
"""

import numpy as np
from sklearn.decomposition import PCA

rng = np.random.default_rng(11)
x = rng.normal(size=(50, 7)) * [5, 3, 2, 1, 0.5, 0.2, 0.1] @ rng.normal(size=(7, 7)) + 4


def attributes(pca):
    return {name: value for name, value in vars(pca).items() if name.endswith("_") and not isinstance(value, str)}


for name, dtype, order, save in [
    ("c-f8", "f8", "C", np.savez),
    ("f-f8", "f8", "F", np.savez_compressed),
    ("c-f4", "f4", "C", np.savez_compressed),
    ("f-f4", "f4", "F", np.savez),
]:
    data = x.astype(dtype)
    pca = PCA(n_components=3, svd_solver="covariance_eigh").fit(data)
    arrays = {key: np.asarray(value, order=order) for key, value in attributes(pca).items()}
    save(f"sklearn-{name}.npz", whiten=pca.whiten, x=data, transformed=pca.transform(data), **arrays)

pca = PCA(n_components=3, whiten=True).fit(x)
np.savez("sklearn-whitened.npz", whiten=pca.whiten, x=x, transformed=pca.transform(x), **attributes(pca))
