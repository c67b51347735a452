"""Writes pca_golden.json: what scikit-learn 1.9.1 makes of a small matrix.

python -m venv venv && venv/bin/pip install scikit-learn==1.9.1 numpy==2.4.6
venv/bin/python pca_golden.py > pca_golden.json
"""

import json

import numpy as np
from sklearn.decomposition import PCA

rng = np.random.default_rng(7)
scale = np.array([5, 3, 2, 1, 0.5, 0.1])
x = (rng.normal(size=(40, 6)) * scale @ rng.normal(size=(6, 6)) + [3, -2, 0, 100, 7, -50]).astype(np.float32)
pca = PCA(n_components=4, svd_solver="full").fit(x.astype(np.float64))
print(json.dumps({
    "x": x.astype(np.float64).tolist(),
    "mean": pca.mean_.tolist(),
    "components": pca.components_.tolist(),
    "explained_variance": pca.explained_variance_.tolist(),
    "explained_variance_ratio": pca.explained_variance_ratio_.tolist(),
    "transformed": pca.transform(x.astype(np.float64)).tolist(),
}))
