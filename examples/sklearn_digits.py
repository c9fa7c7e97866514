"""Train a random forest and a logistic regression on the train split of `data=digits`, for `recipe=sklearn_digits`.

    python examples/sklearn_digits.py --out .

Writes digits_forest.skops and digits_logistic.skops. Needs the extra `sklearn`.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from skops.io import dump

from edgepipe.contract import Split
from edgepipe.data.digits import DigitsData


def main() -> None:
    """Train and save both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as cache:
        # As in recipes/sklearn_digits.yaml: 8x8, one channel, in [0, 1].
        data = DigitsData(image_size=8, channels=1, mean=(0.0,), std=(1.0,)).open(Path(cache))
        train = np.concatenate([batch.only for batch in data.batches(Split.TRAIN, 500)]).reshape(-1, 64)
    labels = np.asarray(data.labels(Split.TRAIN))
    models = {"forest": RandomForestClassifier(200, random_state=0), "logistic": LogisticRegression(max_iter=2000)}
    for name, model in models.items():
        dump(model.fit(train, labels), args.out / f"digits_{name}.skops")


if __name__ == "__main__":
    main()
