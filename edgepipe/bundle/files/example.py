#!/usr/bin/env python3
"""Run this bundle's model on a Raspberry Pi or any other computer with Python.

pip install onnxruntime numpy pillow
python3 example.py                        checks the golden outputs and measures the time
python3 example.py picture.jpg ...        says what is in pictures, or sound.wav ...; exit 2 where one cannot be read
python3 example.py arrays.npz folder ...  answers arrays of the inputs' names, of .npz or of folders of .npy or .npz
python3 example.py --text "..." [--text "..."]  answers texts (pip install tokenizers); of pairs --pair "..." after each
python3 example.py --json [--runs 50] [--threads 1]
"""

import argparse
import json
import math
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
LINE_STEP, LONGEST_LINE = 32, 128  # of lines of text: pixels, and times as long as high
TURNS = ("FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_270", "TRANSVERSE", "ROTATE_90")
TURNS = dict(enumerate(TURNS, 2))
RESAMPLE = {"nearest": 0, "bilinear": 2, "bicubic": 3}  # as Pillow numbers them
AT = {}  # of the picture that was read last its size, and its place in the input; of texts their tokens


class Refused(ValueError):
    """What was given cannot be answered; a sentence for people."""


def open_model(threads):
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    file = HERE / BUNDLE["model"]
    model = str(file) if str(file).isprintable() else file.read_bytes()  # the runtime takes no path of other bytes
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def feed_of(session):
    """How the runs of the model go together; a bundle of an older version has one input and one output."""
    if BUNDLE.get("feed"):
        return BUNDLE["feed"]
    given = session.get_inputs()[0]
    fixed = given.shape[0] if given.shape and isinstance(given.shape[0], int) else 1
    one = {"name": given.name, "type": None, "axis": 0, "stepped": False, "shape": given.shape[1:]}
    outputs = [{"name": session.get_outputs()[0].name, "axis": 0}]
    return {"inputs": [one], "outputs": outputs, "batch": fixed, "steps": 1, "state": {}}


def answer(session, example):
    """example: by input's name one of it, without an axis that counts examples; one array is that of one input.

    Returns: outputs by name, likewise; with a state an axis of steps in front. The state begins as zeros if not given.
    """
    feed = feed_of(session)
    known = [item["name"] for item in feed["inputs"]]
    wanted = [name for name in known if name not in feed["state"]]
    if len(example) == 1 and len(wanted) == 1 and not set(example) & set(known):
        example = {wanted[0]: next(iter(example.values()))}
    lacking = sorted(set(wanted) - set(example)) + sorted(set(example) - set(known))
    if lacking:
        raise Refused(f"the inputs are {', '.join(known)}: '{lacking[0]}' is missing or none of them")
    kinds = {item.name: np.dtype(TYPES[item.type]) for item in session.get_inputs() if item.type in TYPES}
    rows = {}
    for item in feed["inputs"]:
        value = example.get(item["name"])
        value = np.zeros(item["shape"], kinds[item["name"]]) if value is None else np.asarray(value)
        rows[item["name"]] = as_type(value, kinds[item["name"]])
    names = [item["name"] for item in feed["outputs"]]
    asked = list(dict.fromkeys([*names, *feed["state"].values()]))
    steps, state = {name: [] for name in names}, {}
    for step in range(feed["steps"]):
        fed = {}
        for item in feed["inputs"]:
            row = rows[item["name"]][step] if item["stepped"] else rows[item["name"]]
            axis = item["axis"]
            fed[item["name"]] = row if axis is None else np.repeat(np.expand_dims(row, axis), feed["batch"], axis)
        fed.update(state)
        found = dict(zip(asked, session.run(asked, fed)))  # noqa: B905  Python 3.9 on a device has no strict
        for item in feed["outputs"]:
            steps[item["name"]].append(first_of(np.asarray(found[item["name"]]), feed["batch"], item["axis"]))
        state = {name: found[output] for name, output in feed["state"].items()}
    return {name: np.stack(parts) if feed["state"] else parts[0] for name, parts in steps.items()}


def first_of(output, batch, axis):
    """The first example's part of an output; of a batch of 1 all of it is that example's."""
    if batch == 1:
        return output[0] if output.shape[:1] == (1,) else output
    counted = axis if axis is not None else output.shape.index(batch)
    return np.take(output, 0, axis=counted)


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


def read_file(path):
    """Inputs of a picture or a recording, made as for measuring."""
    if not BUNDLE["signature"].get("sound"):
        return {"": read_picture(path)}
    import sound_features  # the file beside this one

    try:
        return sound_features.inputs_of(Path(path).read_bytes(), BUNDLE["signature"]["sound"])
    except (sound_features.BadSound, OSError) as error:
        raise Refused(str(error)) from error


def read_picture(path):
    """float32, (channels, height, width), prepared as for training. Refused: it is no picture that can be read so."""
    how = BUNDLE["signature"]["preprocessing"]
    if not how.get("image_size") or not how.get("mean"):
        raise Refused("this model takes no pictures: its inputs are arrays, as in golden.npz")
    height, width = how["image_size"]
    pixels = decode(path, how).reshape(height, -1, 1 if how["channels"] == 1 else 3)
    pixels = pixels[..., ::-1] if how.get("order") == "bgr" else pixels
    pixels = pixels.astype(np.float32).transpose(2, 0, 1) / np.float32(1 / how.get("scale", 1 / 255))
    mean, std = (np.asarray(how[name], np.float32).reshape(-1, 1, 1) for name in ("mean", "std"))
    found = (pixels - mean) / std
    if how.get("fit") == "line_free" and found.shape[2] > width:
        width = -(-found.shape[2] // LINE_STEP) * LINE_STEP
    return np.pad(found, ((0, 0), (0, 0), (0, max(0, width - found.shape[2]))))  # what a line leaves free is 0


def read_text(text, pair=None):
    """Inputs of a text, or of two, by name, made as for measuring. Refused: the model takes none."""
    how = BUNDLE["signature"].get("text")
    if not how:
        raise Refused("this model takes no texts: its inputs are arrays, as in golden.npz")
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise Refused("texts need the tokenizers library: pip install tokenizers") from None
    try:
        tokenizer = Tokenizer.from_file(str(HERE / how["tokenizer"]))
    except Exception as error:
        raise Refused(f"{how['tokenizer']} cannot be read ({error})") from error
    tokenizer.enable_truncation(how["max_length"], direction=(tokenizer.truncation or {}).get("direction", "right"))
    tokenizer.no_padding()
    if how["words"]:
        text, pair = text.split(), None if pair is None else pair.split()
    found = tokenizer.encode(text, pair, is_pretokenized=how["words"])
    AT["last"] = {"encoding": found, "texts": (text, pair)}
    length = max(1, how["max_length"] if how["padding"] == "fixed" else len(found.ids))
    fill = {"ids": how["pad_id"], "mask": 0, "types": how["pad_type"]}
    values = {"ids": found.ids, "mask": found.attention_mask, "types": found.type_ids}
    kinds = {item["name"]: item["dtype"] for item in BUNDLE["signature"]["inputs"]}
    return {
        name: np.array(values[part] + [fill[part]] * (length - len(found.ids)), kinds.get(name, "int64"))
        for name, part in how["inputs"].items()
    }


def placement(width, height, how):
    """Where a picture of this size lies in the input: its new width and height, and left and top of its first pixel."""
    fit, (high, wide) = how.get("fit", "stretch"), how["image_size"]
    if fit in ("line", "line_free"):
        most = wide if fit == "line" else LONGEST_LINE * high
        return min(most, max(1, (2 * width * high + height) // (2 * height))), high, 0, 0
    if fit == "stretch" or (width, height) == (wide, high):
        return wide, high, 0, 0
    if fit == "crop":
        wide, high = (math.floor(side / how["crop_share"]) for side in (wide, high))
        new = (wide, height * wide // width) if wide * height >= high * width else (width * high // height, high)
        left, top = (-round((side - kept) / 2) for side, kept in zip(new, how["image_size"][::-1]))  # noqa: B905
        return (*new, left, top)
    if wide * height <= high * width:
        new = wide, max(1, (2 * height * wide + width) // (2 * width))
    else:
        new = max(1, (2 * width * high + height) // (2 * height)), high
    middle = fit == "letterbox"
    return (*new, (wide - new[0]) // 2 if middle else 0, (high - new[1]) // 2 if middle else 0)


def placed(picture, how):
    height, width = how["image_size"]
    new_width, new_height, left, top = placement(*picture.size, how)
    AT["last"] = {"size": picture.size, "place": (new_width, new_height, left, top)}
    if new_width * new_height > MAX_PIXELS:
        raise Refused(f"resized these are {new_width}x{new_height} pixels, more than {MAX_PIXELS}: cut the picture")
    pixels = np.asarray(picture.resize((new_width, new_height), RESAMPLE[how["interpolation"]]), np.uint8)
    if how.get("fit") in ("line", "line_free"):
        return pixels
    if left < 0 or top < 0:
        return pixels[-top : height - top, -left : width - left]
    whole = np.full((height, width, *pixels.shape[2:]), how.get("fill", 114), np.uint8)
    whole[top : top + new_height, left : left + new_width] = pixels
    return whole


def decode(path, how):
    """uint8, (height, width) or (height, width, 3)."""
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
            return placed(upright.convert("RGB" if how["channels"] == 3 else "L"), how)
    except Refused:
        raise
    except OSError as error:
        why = f"its bytes are none of {', '.join(formats)}" if "identify" in str(error) else error
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


def read_arrays(path):
    """Examples of an .npz, or of a folder of .npy: each by input's name. Refused: they cannot be read."""
    try:
        if path.is_dir():
            arrays = {file.stem: np.load(file, allow_pickle=False) for file in sorted(path.glob("*.npy"))}
        else:
            with np.load(path, allow_pickle=False) as content:
                arrays = {name: content[name] for name in content.files}
    except Exception as error:  # numpy and zipfile raise what they happen to stumble over
        raise Refused(f"cannot be read ({error})") from error
    golden = {name[len("inputs/") :]: value for name, value in arrays.items() if name.startswith("inputs/")}
    arrays = golden or {name: value for name, value in arrays.items() if name not in ("labels", "outputs")}
    if not arrays:
        raise Refused("holds no arrays of numbers")
    axes = {item["name"]: len(item["shape"]) for item in (BUNDLE.get("feed") or {"inputs": []})["inputs"]}
    several = all(value.ndim == axes.get(name, value.ndim - 1) + 1 for name, value in arrays.items())
    count = min(len(value) for value in arrays.values()) if several else 1
    return [{name: value[row] if several else value for name, value in arrays.items()} for row in range(count)]


def golden_of(golden, prefix):
    """By name; a bundle of an older version has one array."""
    if prefix in golden.files:
        return {"": golden[prefix]}
    return {name[len(prefix) + 1 :]: golden[name] for name in golden.files if name.startswith(prefix + "/")}


def told(outputs):
    """Outputs in words: the class of a classifier, boxes, else each by its name."""
    if program := BUNDLE.get("program"):
        say = __import__(program["package"]).say  # a folder beside this file; it needs numpy alone
        return printable(say(outputs, program["settings"], BUNDLE["signature"]["classes"], AT.pop("last", None)))
    if len(outputs) == 1:
        return in_words(np.asarray(next(iter(outputs.values())), np.float64))
    return "; ".join(f"{printable(name)} {list(value.shape)}: {values(value)}" for name, value in outputs.items())


def values(array):
    more = f" ... ({array.size} values)" if array.size > 8 else ""
    return ", ".join(f"{value:.6g}" for value in np.asarray(array, np.float64).ravel()[:8]) + more


def check(session, runs):
    """Golden outputs and the time of one example."""
    golden = np.load(HERE / "golden.npz", allow_pickle=False)
    inputs, expected = golden_of(golden, "inputs"), golden_of(golden, "outputs")
    count = len(next(iter(inputs.values())))
    rows = [{name: value[row] for name, value in inputs.items()} for row in range(count)]
    answered = [answer(session, row) for row in rows]
    difference, identical, close = 0.0, True, True
    for name, value in expected.items():
        found = np.stack([each[name or next(iter(each))] for each in answered]).astype(value.dtype)
        got, wanted = (each.reshape(count, -1).astype(np.float64) for each in (found, value))
        with np.errstate(invalid="ignore"):  # the same infinity, as of a masked score, is no difference
            far = np.where(got == wanted, 0.0, np.abs(got - wanted))
        off = float(far.max()) if far.size else 0.0
        difference = max(difference, off) if difference == difference else difference
        identical = identical and found.tobytes() == value.tobytes()
        close = close and off <= BUNDLE["tolerance"] * float(np.abs(wanted[np.isfinite(wanted)]).max(initial=0.0))
    times = []
    for run in range(runs + 3):  # the first three warm up
        began = time.perf_counter()
        answer(session, rows[run % len(rows)])
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
    parser.add_argument("examples", nargs="*")
    parser.add_argument("--text", action="append", default=[])
    parser.add_argument("--pair", action="append", default=[])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    sys.stdout.reconfigure(errors="backslashreplace")
    session = open_model(args.threads)
    refused = 0
    for name in [file for each in args.examples for file in sorted(map(str, Path(each).glob("*.npz"))) or [each]]:
        try:
            path = Path(name)
            arrays = path.suffix == ".npz" or any(path.glob("*.npy"))
            began = time.perf_counter()
            for row in read_arrays(path) if arrays else [read_file(name)]:
                outputs = answer(session, row)
                took = 1000 * (time.perf_counter() - began)
                print(f"{printable(name)}: {told(outputs)}, {took:.1f} ms{'' if arrays else ' with decoding'}")
                began = time.perf_counter()
        except Refused as error:
            refused += 1
            print(f"error: {printable(name)}: {printable(str(error))}", file=sys.stderr)
    for number, text in enumerate(args.text):
        try:
            began = time.perf_counter()
            outputs = answer(session, read_text(text, args.pair[number] if number < len(args.pair) else None))
            print(f"{printable(text)}: {told(outputs)}, {1000 * (time.perf_counter() - began):.1f} ms with its tokens")
        except Refused as error:
            refused += 1
            print(f"error: {printable(text)}: {printable(str(error))}", file=sys.stderr)
    if args.examples or args.text:
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
