#!/usr/bin/env python3
"""Run this bundle's model on a Raspberry Pi or any other computer with Python.

pip install onnxruntime numpy pillow
python3 example.py                        checks the golden outputs and measures the time
python3 example.py picture.jpg ...        says what is in the pictures; exit 2 where one cannot be read
python3 example.py --json [--runs 50] [--threads 1]
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before the runtime is loaded: nothing is sent to its maker

import numpy as np
import onnxruntime as ort

HERE = Path(__file__).resolve().parent
BUNDLE = json.loads((HERE / "bundle.json").read_text(encoding="utf-8"))
TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64, "tensor(bool)": bool}
TYPES |= {f"tensor({sign}int{bits})": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}

# Pictures are read as they were for training: plain raster formats only, turned as the camera was held, 8 bits a value.
FORMATS = ("JPEG", "PNG", "BMP", "DIB", "GIF", "WEBP", "TIFF", "PPM", "AVIF")
MAX_PIXELS = 89_478_485
ORIENTATION = 0x0112  # EXIF's tag
TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}


class Refused(ValueError):
    """What was given cannot be answered; a sentence for people."""


def open_model(threads):
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    file = HERE / BUNDLE["model"]
    model = str(file) if str(file).isprintable() else file.read_bytes()  # the runtime takes no path of other bytes
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def answer(session, example):
    """example: one preprocessed input, without the batch axis."""
    wanted = session.get_inputs()[0]
    batch = wanted.shape[0] if wanted.shape and isinstance(wanted.shape[0], int) else 1
    fed = as_type(np.repeat(example[None], batch, axis=0), np.dtype(TYPES.get(wanted.type, example.dtype)))
    return session.run(None, {wanted.name: fed})[0][0]


def as_type(values, kind):
    """Refused: as the whole numbers that the model takes they would be others."""
    if kind.kind not in "iub" or values.dtype == kind:
        return values.astype(kind)
    low, high = (0, 1) if kind.kind == "b" else (np.iinfo(kind).min, np.iinfo(kind).max)
    whole = np.rint(values)
    if np.abs(values - whole).max() >= 1e-3 or whole.min() < low or whole.max() > high:
        raise Refused(
            f"the model takes whole numbers ({kind.name}), and this becomes {values.min():.4g} to {values.max():.4g}"
        )
    return whole.astype(kind)


def read_picture(path):
    """float32, (channels, height, width), prepared as for training. Refused: it is no picture that can be read so."""
    how = BUNDLE["signature"]["preprocessing"]
    if not how.get("image_size") or not how.get("mean"):
        raise Refused("this model takes no pictures: its inputs are arrays, as in golden.npz")
    height, width = how["image_size"]
    pixels = decode(path, how["channels"], (width, height), how["interpolation"]).reshape(height, width, -1)
    pixels = pixels.astype(np.float32).transpose(2, 0, 1) / np.float32(255)
    mean, std = (np.asarray(how[name], np.float32).reshape(-1, 1, 1) for name in ("mean", "std"))
    return (pixels - mean) / std


def decode(path, channels, size, interpolation):
    """uint8, (height, width) or (height, width, 3); size: (width, height)."""
    try:
        from PIL import Image
    except ImportError:
        raise Refused("pictures need Pillow: pip install pillow") from None
    Image.init()
    formats = [name for name in FORMATS if name in Image.OPEN]  # an older Pillow has no AVIF
    try:
        with Path(path).open("rb") as stream, Image.open(stream, formats=formats) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise Refused(f"{picture.width}x{picture.height} pixels: more than {MAX_PIXELS}: shrink it")
            if picture.mode == "F" or picture.mode.startswith("I"):
                raise Refused(f"pixels of mode {picture.mode} hold more than 8 bits: save it as 8-bit grey or RGB")
            picture.load()
            try:
                turn = TURNS.get(picture.getexif().get(ORIENTATION))
            except Exception:  # damaged EXIF says nothing
                turn = None
            upright = picture if turn is None else picture.transpose(getattr(Image.Transpose, turn))
            if upright.mode == "P" and "transparency" in upright.info:
                upright = upright.convert("RGBA")
            upright = upright.convert("RGB" if channels == 3 else "L")
            if upright.size != size:
                upright = upright.resize(size, getattr(Image.Resampling, interpolation.upper()))
            return np.asarray(upright, np.uint8)
    except Refused:
        raise
    except OSError as error:
        unknown = "identify" in str(error)
        why = f"its bytes are none of {', '.join(formats)}" if unknown else error
        raise Refused(error.strerror or f"not a readable picture ({why})") from error
    except Exception as error:  # Pillow's parsers raise anything on damaged bytes
        raise Refused(f"not a readable picture ({error})") from error


def printable(text):
    """A name from elsewhere as one line: no control of a terminal, no byte that is no letter."""
    return "".join(c if c.isprintable() else escaped(c) for c in text)


def escaped(letter):
    code = ord(letter) - 0xDC00 if 0xDC80 <= ord(letter) <= 0xDCFF else ord(letter)  # a byte of a file's name
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"


def in_words(scores):
    """scores: the model's answer, float64. The best class and its share, or the values where there are no classes."""
    if BUNDLE["signature"]["task"] != "classification" or scores.size < 2:
        more = f" ... ({scores.size} values)" if scores.size > 8 else ""
        return ", ".join(f"{value:.6g}" for value in scores.ravel()[:8]) + more
    shares = scores
    if not BUNDLE["probabilities"]:
        shares = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
    best, names = int(scores.argmax()), BUNDLE["signature"]["classes"]
    return f"{printable(names[best]) if best < len(names) else best} ({shares[best]:.1%})"


def check(session, runs):
    """Golden outputs and the time of one example."""
    golden = np.load(HERE / "golden.npz", allow_pickle=False)
    inputs, expected = golden["inputs"], golden["outputs"]
    found = np.stack([np.asarray(answer(session, example)) for example in inputs]).astype(np.float32)
    difference = float(np.abs(found.reshape(len(found), -1) - expected.reshape(len(found), -1)).max())
    identical = found.tobytes() == expected.tobytes()
    close = difference <= BUNDLE["tolerance"] * float(np.abs(expected).max())
    times = []
    for run in range(runs + 3):  # the first three warm up
        began = time.perf_counter()
        answer(session, inputs[run % len(inputs)])
        times.append(1000 * (time.perf_counter() - began))
    times = sorted(times[3:])
    return {
        "golden": "ok" if identical or (close and not BUNDLE["bit_identical"]) else "failed",
        "identical": identical,
        "largest_difference": difference if np.isfinite(difference) else None,
        "latency_p50_ms": statistics.median(times),
        "latency_p90_ms": times[int(0.9 * (len(times) - 1))],
        "runs": runs,
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("pictures", nargs="*")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    sys.stdout.reconfigure(errors="backslashreplace")
    session = open_model(args.threads)
    refused = 0
    for path in args.pictures:
        began = time.perf_counter()
        try:
            scores = np.asarray(answer(session, read_picture(path)), np.float64)
        except Refused as error:
            refused += 1
            print(f"error: {printable(path)}: {printable(str(error))}", file=sys.stderr)
            continue
        took = 1000 * (time.perf_counter() - began)
        print(f"{printable(path)}: {in_words(scores)}, {took:.1f} ms with decoding")
    if args.pictures:
        return 2 if refused else 0
    try:
        found = check(session, args.runs)
    except Refused as error:
        print(f"error: golden.npz: {error}", file=sys.stderr)
        return 2
    found |= {
        "host": platform.node(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "threads": args.threads,
        "python": platform.python_version(),
        "onnxruntime": ort.__version__,
    }
    print(json.dumps(found) if args.json else "\n".join(f"{key}: {value}" for key, value in found.items()))
    return 0 if found["golden"] == "ok" else 1


if __name__ == "__main__":
    raise SystemExit(main())
