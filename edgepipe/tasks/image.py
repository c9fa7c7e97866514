"""Pictures out: larger, cleaner, or how far away things are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edgepipe.contract import Answers, Figure, Measure, Moves, Signature, Targets, Task, Tensor
from edgepipe.errors import DataError, MeasureError
from edgepipe.tasks.maps import named_output, resized_bilinear
from edgepipe.tasks.moving import moved_pixels
from edgepipe.tasks.ssim import ssim
from edgepipe.tasks.values import mean_interval

_MOST_PSNR = 100.0
"""In dB: what an exact picture, whose PSNR is infinite, counts as."""


class Image(Task):
    """A picture for each example: super resolution, denoising, depth; compared with labels of the same size.

    PSNR and SSIM are means of each picture's, over `value_range`; an exact picture counts as 100 dB. Depth maps smaller
    than their labels are enlarged bilinearly. Intervals are by the standard error of the mean, paired where two models
    answer the same pictures.
    """

    measures: ClassVar[tuple[Measure, ...]] = (
        Measure(
            "psnr",
            "PSNR",
            "higher",
            "peak signal over noise of each picture, mean",
            unit="dB",
            worse_by=0.1,
        ),
        Measure("ssim", "SSIM", "higher", "structural similarity of each picture, mean; null: smaller than 11 pixels"),
        Measure(
            "mae",
            "error",
            "lower",
            "mean absolute error of each picture, in its unit, mean",
            worse_by=0.02,
            relative=True,
        ),
    )
    trains: ClassVar[bool] = True
    covers: ClassVar[bool] = True
    page: ClassVar[str] = "edgepipe.tasks/pages/image.mjs"

    kind: Literal["picture", "depth"] = Field(
        "picture",
        description="picture: values beyond value_range are cut off before they are judged, as when saved; depth: they "
        "stay, and labels of 0 are not judged, as sensors mark what they did not see",
    )
    value_range: float = Field(1.0, gt=0, description="of the values: 1 from 0 to 1, 255 from 0 to 255; peak of PSNR")
    output: str | None = Field(None, description="name of the output with the picture; null: the first")
    border: int = Field(
        0, ge=0, le=256, description="pixels at each side that are not judged, as papers leave out scale"
    )
    objective: Literal["l1", "mse", "charbonnier"] = Field("l1", description="what training minimizes")
    alike_psnr: float = Field(
        40.0, gt=0, le=100, description="PSNR in dB to the baseline's picture from which one is answered alike"
    )

    def misfit(self, outputs: Sequence[Tensor]) -> str | None:
        if self.output is not None and self.output not in [item.name for item in outputs]:
            return f"it has no output '{self.output}' (task.output), only {', '.join(item.name for item in outputs)}"
        chosen = next((item for item in outputs if item.name == self.output), outputs[0])
        if len(chosen.shape) in (2, 3) and chosen.dtype.startswith(("float", "uint8")):
            return None
        return f"its output '{chosen.name}' is {chosen.dtype} {list(chosen.shape)} for each example, no picture"

    def targets(self, raw: NDArray[Any], signature: Signature) -> Targets:
        """`pictures`: float32, (n, channels, height, width)."""
        pictures = np.asarray(raw)
        if pictures.dtype.kind not in "fu" or pictures.ndim not in (3, 4):
            raise DataError(
                "task: image needs pictures as labels, (examples, channels, height, width) as numbers; found "
                f"{pictures.dtype} of shape {pictures.shape}. data=image_pairs reads pictures in pairs"
            )
        found = pictures.astype(np.float32)
        if not np.isfinite(found).all():
            raise DataError("task: the labels' pictures hold NaN or infinity")
        return {"pictures": found[:, None] if found.ndim == 3 else found}

    def answers(self, outputs: Mapping[str, NDArray[Any]], signature: Signature, what: str) -> Answers:
        """`pictures`: float32, (n, channels, height, width)."""
        values = named_output(outputs, self.output, what)
        if values.dtype.kind not in "fu" or values.ndim not in (3, 4):
            raise MeasureError(
                f"{what}: its output for task=image is {values.dtype} {tuple(values.shape)}; expected pictures, "
                "(examples, channels, height, width). Set task.output to another's name"
            )
        found = values.astype(np.float32)
        if not np.isfinite(found).all():
            raise MeasureError(f"{what}: NaN or infinite values on the evaluation examples: the step lost the model")
        found = found[:, None] if found.ndim == 3 else found
        if found.shape[1] not in (1, 3) and found.shape[3] in (1, 3):
            found = np.ascontiguousarray(np.moveaxis(found, 3, 1))  # TensorFlow's order
        return {"pictures": np.clip(found, 0, self.value_range) if self.kind == "picture" else found}

    def for_page(self, outputs: Mapping[str, NDArray[Any]], signature: Signature) -> dict[str, Any]:
        """What is drawn of the output; `order`: of its channels, which is that of the input."""
        order = signature.preprocessing.order
        return {"output": self.output, "kind": self.kind, "value_range": self.value_range, "order": order}

    def possible(self, answers: Answers, count: int) -> bool:
        pictures = answers.get("pictures")
        return (
            answers.keys() == {"pictures"}
            and pictures is not None
            and pictures.dtype == np.float32
            and pictures.ndim == 4
            and len(pictures) == count
            and bool(np.isfinite(pictures).all())
        )

    def targets_of(self, baseline: Answers) -> Targets | None:
        return dict(baseline)

    def measured(self, answers: Answers, targets: Targets) -> dict[str, Figure]:
        return {name: _figure(values) for name, values in self._each(answers, targets["pictures"]).items()}

    def compared(self, answers: Answers, baseline: Answers, targets: Targets) -> dict[str, Figure]:
        now, then = (self._each(each, targets["pictures"]) for each in (answers, baseline))
        signs = {measure.name: 1 if measure.better == "higher" else -1 for measure in self.measures}
        return {name: _figure(sign * (then[name] - now[name])) for name, sign in signs.items()}

    def _each(self, answers: Answers, wanted: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
        """(n,) of each measure; NaN where a picture has none."""
        found = answers["pictures"]
        if len(found) != len(wanted) or found.shape[1] != wanted.shape[1]:
            raise MeasureError(
                f"the model gives {len(found)} pictures of {found.shape[1]} channels, compared with {len(wanted)} of "
                f"{wanted.shape[1]}: give labels of as many channels (data.channels)"
            )
        if self.kind == "picture" and found.shape != wanted.shape:
            raise MeasureError(
                f"the model gives pictures of {found.shape[2]}x{found.shape[3]} pixels, and the labels have "
                f"{wanted.shape[2]}x{wanted.shape[3]}: choose a model of this scale, or set data.downscale to it"
            )
        rows = [self._one(one, other) for one, other in zip(found, wanted, strict=True)]
        return {name: np.array([row[place] for row in rows]) for place, name in enumerate(("psnr", "ssim", "mae"))}

    def _one(self, found: NDArray[np.float32], wanted: NDArray[np.float32]) -> tuple[float, float, float]:
        found = resized_bilinear(found, (wanted.shape[1], wanted.shape[2]))
        if self.border:
            if min(wanted.shape[1:]) <= 2 * self.border:
                raise MeasureError(f"task.border={self.border} leaves nothing of pictures of {wanted.shape[1:]} pixels")
            inner = slice(self.border, -self.border)
            found, wanted = found[:, inner, inner], wanted[:, inner, inner]
        kept = wanted != 0 if self.kind == "depth" else np.ones_like(wanted, np.bool_)
        if not kept.any():
            return np.nan, np.nan, np.nan
        difference = (found.astype(np.float64) - wanted)[kept]
        return (
            _psnr(difference, self.value_range),
            ssim(np.where(kept, found, 0), wanted, self.value_range),
            float(np.abs(difference).mean()),
        )

    def alike(self, answers: Answers, baseline: Answers) -> NDArray[np.bool_]:
        """Where the baseline's picture is met with a PSNR of at least `alike_psnr`."""
        one, other = answers["pictures"], baseline["pictures"]
        if one.shape != other.shape:
            raise MeasureError(f"pictures of shape {one.shape} and {other.shape} cannot be compared")
        differences = (one.astype(np.float64) - other).reshape(len(one), -1)
        return np.array([_psnr(row, self.value_range) >= self.alike_psnr for row in differences])

    def show(
        self, picture: NDArray[np.uint8], values: Mapping[str, NDArray[Any]], index: int, signature: Signature
    ) -> NDArray[np.uint8]:
        """The picture that comes out, or should; depths from the nearest, black, to the farthest."""
        found = values["pictures"][index].astype(np.float32)
        low, high = (float(found.min()), float(found.max())) if self.kind == "depth" else (0.0, self.value_range)
        grey = np.clip((found[:3] - low) / (high - low or 1.0), 0, 1)
        rgb = grey if len(grey) == 3 else np.repeat(grey[:1], 3, 0)
        rgb = rgb[::-1] if signature.preprocessing.order == "bgr" else rgb
        return np.asarray(np.rint(255 * rgb.transpose(1, 2, 0)), np.uint8)

    def loss(self, outputs: Any, targets: Any) -> Any:
        """Mean of absolute errors (l1), squares (mse) or their smooth middle (Charbonnier, epsilon 1e-3).

        Args:
            outputs: float32, (n, channels, h, w), of depth enlarged bilinearly to its labels; targets: the labels.
        Source: Lai et al., CVPR 2017, arXiv:1704.03915 (Charbonnier).
        """
        import torch
        from torch.nn import functional

        found = next(iter(outputs.values())) if isinstance(outputs, dict) else outputs
        found = found[0] if isinstance(found, (tuple, list)) else found
        found = found[:, None] if found.ndim == 3 else found
        wanted = targets.float()
        wanted = wanted[:, None] if wanted.ndim == 3 else wanted
        if self.kind == "depth" and found.shape[2:] != wanted.shape[2:]:
            found = functional.interpolate(found, wanted.shape[2:], mode="bilinear", align_corners=False)
        if found.shape != wanted.shape:
            raise DataError(
                f"the network gives pictures of shape {tuple(found.shape[1:])}, and the labels have "
                f"{tuple(wanted.shape[1:])}: let its scale be data.downscale"
            )
        difference = found - wanted
        if self.objective == "charbonnier":
            each = torch.sqrt(difference.square() + 1e-6)
        else:
            each = difference.abs() if self.objective == "l1" else difference.square()
        if self.kind == "depth":
            kept = (wanted != 0).float()
            return (each * kept).sum() / kept.sum().clamp(min=1)
        return each.mean()

    def moved(self, targets: Any, moves: Moves) -> Any:
        return moved_pixels(targets, moves)


def _psnr(difference: NDArray[np.float64], peak: float) -> float:
    square = float(np.mean(difference**2))
    return _MOST_PSNR if square <= 0 else min(_MOST_PSNR, float(10 * np.log10(peak**2 / square)))


def _figure(values: NDArray[np.float64]) -> Figure:
    known = values[np.isfinite(values)]
    return Figure(float(known.mean()), mean_interval(known)) if len(known) else Figure(None)
