"""Train a small neural regression on the diabetes table that scikit-learn ships, for tabular data with `data=npz`.

    python examples/sklearn_diabetes.py --out .

Writes diabetes.skops and diabetes_{train,test}.npz: `inputs` float32 (n, 10), `labels` float32 (n,), how far the
disease went on. Needs the extra `sklearn`. Source: Efron et al., Least Angle Regression, Annals of Statistics, 2004.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import skops.io
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def main() -> None:
    """Train and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    args = parser.parse_args()
    inputs, labels = load_diabetes(return_X_y=True)
    inputs, labels = inputs.astype(np.float32), labels.astype(np.float32)
    train, test, train_labels, test_labels = train_test_split(inputs, labels, test_size=0.4, random_state=0)
    network = MLPRegressor(hidden_layer_sizes=(256, 256), alpha=30.0, max_iter=60, random_state=0)
    model = make_pipeline(StandardScaler(), network).fit(train, train_labels)
    print(f"R2 on {len(test)} rows: {model.score(test, test_labels):.4f}")
    args.out.mkdir(parents=True, exist_ok=True)
    skops.io.dump(model, args.out / "diabetes.skops")
    np.savez(args.out / "diabetes_train.npz", inputs=train, labels=train_labels)
    np.savez(args.out / "diabetes_test.npz", inputs=test, labels=test_labels)


if __name__ == "__main__":
    main()
