"""Reads a PCA that SaveNPZ wrote, projects the rows on standard input with
numpy as scikit-learn does, and prints the result and the arrays' types."""

import json
import sys

import numpy as np

arrays = np.load(sys.argv[1])
x = np.array(json.load(sys.stdin))
y = (x - arrays["mean_"]) @ arrays["components_"].T
if arrays["whiten"]:
    y /= np.sqrt(arrays["explained_variance_"])
json.dump({"y": y.tolist(), "arrays": {name: f"{arrays[name].dtype} {arrays[name].shape}" for name in arrays.files}}, sys.stdout)
