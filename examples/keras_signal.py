"""Train a small one-dimensional convolutional network with Keras, for signals with `data=npz`.

    python examples/keras_signal.py --out .

The signal is a handwritten digit of scikit-learn, read row by row: 64 values, one channel. Writes signal.h5 and
signal_{train,test}.npz: `inputs` float32 (n, 64, 1) in [0, 1], `labels` int64 (n,). Needs the extra `keras`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


def main() -> None:
    """Train and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    args = parser.parse_args()
    pixels, labels = load_digits(return_X_y=True)
    signals = (pixels[:, :, None] / 16).astype(np.float32)
    train, test, train_labels, test_labels = train_test_split(signals, labels, test_size=0.5, random_state=0)
    keras.utils.set_random_seed(0)
    body = [layers.Conv1D(width, 9, padding="same", strides=2, activation="relu") for width in (64, 128, 256)]
    model = keras.Sequential([keras.Input((64, 1)), *body, layers.GlobalAveragePooling1D(), layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    model.fit(train, train_labels, epochs=30, verbose=0)
    print(f"top-1 on {len(test)} signals: {model.evaluate(test, test_labels, verbose=0)[1]:.4f}")
    args.out.mkdir(parents=True, exist_ok=True)
    model.save(args.out / "signal.h5")
    np.savez(args.out / "signal_train.npz", inputs=train, labels=train_labels)
    np.savez(args.out / "signal_test.npz", inputs=test, labels=test_labels)


if __name__ == "__main__":
    main()
