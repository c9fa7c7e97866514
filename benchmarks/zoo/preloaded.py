"""What every network's process needs, imported once in the process that they are forked from."""

from __future__ import annotations

import onnx
import onnxruntime
import torch
import torchvision

import edgepipe.__main__

__all__ = ["edgepipe", "onnx", "onnxruntime", "torch", "torchvision"]
