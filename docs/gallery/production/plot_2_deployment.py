"""
Deploy as safetensors or ONNX
=============================

A fitted transformer can be deployed as a file that cannot run code, or as an
ONNX graph that needs neither skdim nor torch. Pictures compare the sizes of the
files, and the features of the graph with those of skdim.
"""

# %%
# ``save`` writes safetensors. ``trim`` removes what ``transform`` does not
# need: critics, optimiser states, history. The loaded transformer gives the
# same features to the last bit.

import tempfile
from pathlib import Path

import joblib
import matplotlib.pyplot as plt
import numpy as np
import onnxruntime
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from skdim import DIMTransformer
from skdim.onnx_export import export_onnx

X, y = load_digits().images.astype(np.float32), load_digits().target
train, test = slice(0, 1300), slice(1300, None)
pipeline = make_pipeline(
    DIMTransformer(encoder_params={"width": 64}, random_state=0),
    LogisticRegression(),
).fit(X[train], y[train])
dim = pipeline[0]

folder = Path(tempfile.mkdtemp())
joblib.dump(pipeline, folder / "Pipeline.joblib")
dim.save(folder / "whole.safetensors")
features = dim.transform(X[test])
dim.trim().save(folder / "trimmed.safetensors")
again = DIMTransformer.load(folder / "trimmed.safetensors")
print(
    "equal after save and load:",
    np.array_equal(again.transform(X[test]), features),
)

# %%
# ``export_onnx`` writes one graph: of the transformer, from raw X to features,
# or of the Pipeline, from raw X to probabilities.

dim.export_onnx(folder / "features.onnx")
export_onnx(pipeline, folder / "classifier.onnx")

session = onnxruntime.InferenceSession(folder / "features.onnx")
(from_graph,) = session.run(None, {"X": X[test]})
probabilities, label_index = onnxruntime.InferenceSession(
    folder / "classifier.onnx"
).run(None, {"X": X[test]})
agreement = (pipeline.classes_[label_index] == pipeline.predict(X[test])).mean()
print(f"labels that agree: {agreement:.3f} of {len(label_index)}")
difference = np.abs(from_graph - features).max()
print(f"largest difference of a feature: {difference:.1e}")

# %%
# The sizes of the files.

sizes = {path.name: path.stat().st_size / 2**20 for path in folder.iterdir()}
sizes = dict(sorted(sizes.items(), key=lambda item: item[1]))
fig, ax = plt.subplots(figsize=(6, 4), layout="constrained")
bars = ax.barh(list(sizes), list(sizes.values()), color="tab:blue")
ax.bar_label(bars, fmt="%.1f MiB", padding=4)
ax.margins(x=0.2)
ax.set(title="Sizes of the files", xlabel="MiB")
ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# The graph gives the same features. The differences are rounding errors of
# single precision, far smaller than the features.

fig, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
bins = np.logspace(-10, 1, 60)
for values, label in (
    (features, "features"),
    (from_graph - features, "ONNX minus skdim"),
):
    ax.hist(np.abs(values).ravel() + 1e-10, bins, alpha=0.8, label=label)
ax.set(xscale="log", xlabel="absolute value", ylabel="count")
ax.legend(frameon=False)
ax.spines[["top", "right"]].set_visible(False)
plt.show()
