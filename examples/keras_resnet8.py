"""Train the ResNet-8 of MLPerf Tiny with Keras on CIFAR-10 class folders, for `recipe=keras_resnet8_int8`.

    python examples/keras_resnet8.py --data cifar10.zip --out resnet8.keras

`--data` is a folder or .zip with train/CLASS/*.jpg and test/CLASS/*.jpg. Needs the extra `keras`.
Source: Banbury et al., MLPerf Tiny Benchmark, 2021, arXiv:2106.07597 (image classification).
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # TensorFlow leaves it off on some processors and trains far slower

import keras
import numpy as np
from keras import layers

from edgepipe.contract import Split
from edgepipe.data.image_folder import ImageFolderData


def resnet8(classes: int) -> keras.Model:
    """Three residual stages of 16, 32 and 64 channels on 32x32 pictures; 78,000 parameters, 12.5 million MACs."""
    inputs = layers.Input((32, 32, 3))
    x = _conv(inputs, 16, 3, 1)
    for width, stride in ((16, 1), (32, 2), (64, 2)):
        y = _conv(_conv(x, width, 3, stride), width, 3, 1, relu=False)
        if stride > 1:
            x = layers.Conv2D(width, 1, stride, padding="same", kernel_regularizer=_decay())(x)
        x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(classes, activation="softmax")(x))


def _decay() -> keras.Regularizer:
    return keras.regularizers.L2(1e-4)


def _conv(x: keras.KerasTensor, width: int, size: int, stride: int, *, relu: bool = True) -> keras.KerasTensor:
    x = layers.Conv2D(width, size, stride, padding="same", use_bias=False, kernel_regularizer=_decay())(x)
    x = layers.BatchNormalization()(x)
    return layers.ReLU()(x) if relu else x


class Batches(keras.utils.PyDataset):
    """Shuffled batches, each picture shifted by up to 4 pixels and mirrored half of the time."""

    def __init__(self, pictures: np.ndarray, labels: np.ndarray, size: int) -> None:
        super().__init__()
        self.pictures, self.labels, self.size, self.epoch = pictures, labels, size, 0
        self.on_epoch_end()

    def __len__(self) -> int:
        return len(self.labels) // self.size

    def on_epoch_end(self) -> None:
        self.random = np.random.default_rng(self.epoch)
        self.order = self.random.permutation(len(self.labels))
        self.epoch += 1

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        rows = self.order[number * self.size : (number + 1) * self.size]
        wide = np.pad(self.pictures[rows], ((0, 0), (4, 4), (4, 4), (0, 0)), mode="edge")
        tops, lefts = self.random.integers(0, 9, (2, len(rows)))
        made = np.stack([p[t : t + 32, s : s + 32] for p, t, s in zip(wide, tops, lefts, strict=True)])
        mirrored = self.random.random(len(rows)) < 0.5
        made[mirrored] = made[mirrored, :, ::-1]
        return made.astype(np.float32), self.labels[rows]


def main() -> None:
    """Train and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder or .zip with train/CLASS and test/CLASS")
    parser.add_argument("--out", type=Path, required=True, help="the .keras file to write")
    parser.add_argument("--epochs", type=int, default=12)
    args = parser.parse_args()
    keras.utils.set_random_seed(0)
    with tempfile.TemporaryDirectory() as cache:
        data = ImageFolderData(root=args.data, image_size=32).open(Path(cache))
        train = np.concatenate([b.only.astype(np.float16) for b in data.batches(Split.TRAIN, 500)])
        test = np.concatenate([b.only for b in data.batches(Split.EVALUATION, 500)])
        labels, truth = data.labels(Split.TRAIN), data.labels(Split.EVALUATION)
    batches = Batches(train.transpose(0, 2, 3, 1), np.asarray(labels), 128)
    model = resnet8(len(data.signature.classes))
    steps = args.epochs * len(batches)
    warm = max(1, steps // 6)
    rate = keras.optimizers.schedules.CosineDecay(0.02, steps - warm, warmup_target=0.2, warmup_steps=warm)
    model.compile(
        keras.optimizers.SGD(rate, momentum=0.9, nesterov=True), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    model.fit(batches, epochs=args.epochs, verbose=2)
    scores = model.predict(test.transpose(0, 2, 3, 1), batch_size=500, verbose=0)
    print(f"top-1 on {len(scores):,} pictures: {np.mean(scores.argmax(1) == np.asarray(truth)):.4f}")
    model.save(args.out)


if __name__ == "__main__":
    main()
