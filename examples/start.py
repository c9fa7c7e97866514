"""Make a small trained network and pictures of its own, to follow the guides with: seconds, offline.

    python examples/start.py --out start

A convolutional network learns scikit-learn's handwritten digits. Writes

    start/pictures/{train,test}/CLASS/*.png    1,437 and 360 pictures of 8x8 pixels, in class folders
    start/model.onnx                           the network in float: input (batch, 3, 32, 32), normalized as
                                               `data=image_folder` does by default; output: ten logits
    start/calibration.npz, evaluation.npz      the same pictures as arrays: `images` float32, `labels` int64
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import nn

SIDE = 32
MEAN, STD = (np.array(value, np.float32)[:, None, None] for value in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


def main() -> None:
    """Write the pictures, train, export."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    args = parser.parse_args()
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    inputs, labels = np.empty((len(order), 3, SIDE, SIDE), np.float32), digits.target[order].astype(np.int64)
    for at, index in enumerate(order):
        picture = Image.fromarray((digits.images[index] * 255 / 16).round().astype(np.uint8))
        split = "train" if at < 1437 else "test"
        path = args.out / "pictures" / split / str(labels[at]) / f"{index:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)
        pixels = picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        inputs[at] = (np.asarray(pixels, np.float32).transpose(2, 0, 1) / 255 - MEAN) / STD
    train, test = slice(0, 1437), slice(1437, None)
    network = trained(torch.from_numpy(inputs[train]), torch.from_numpy(labels[train]))
    with torch.no_grad():
        right = (network(torch.from_numpy(inputs[test])).argmax(1).numpy() == labels[test]).mean()
    print(f"{right:.1%} of {len(labels[test])} test pictures are answered rightly")
    dynamic = {"input": {0: torch.export.Dim("batch")}}
    torch.onnx.export(
        network,
        (torch.zeros(2, 3, SIDE, SIDE),),
        args.out / "model.onnx",
        input_names=["input"],
        output_names=["logits"],
        dynamic_shapes=dynamic,
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    np.savez(args.out / "calibration.npz", images=inputs[train][:200])
    np.savez(args.out / "evaluation.npz", images=inputs[test], labels=labels[test])


def trained(inputs: torch.Tensor, labels: torch.Tensor) -> nn.Module:
    """Five layers, six epochs."""
    torch.manual_seed(0)
    widths = (3, 32, 64, 128)
    body = [
        layer
        for before, width in zip(widths, widths[1:], strict=False)
        for layer in (nn.Conv2d(before, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
    ]
    network = nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10))
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.003)
    for _ in range(6):
        for batch in torch.randperm(len(inputs)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(inputs[batch]), labels[batch]).backward()
            optimizer.step()
    return network.eval()


if __name__ == "__main__":
    main()
