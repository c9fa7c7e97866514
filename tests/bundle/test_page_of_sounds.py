"""A recording becomes the same numbers on the page as in example.py."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepipe.bundle.page import FILES
from edgepipe.contract import Sound
from edgepipe.data import sound_features
from tests.data.recordings import noise, wav
from tests.tasks.pages.node import NODE, in_node

pytestmark = pytest.mark.skipif(NODE is not None, reason=str(NODE))
MEL = {"features": "log_mel", "sample_rate": 8000, "samples": 2000, "mean": -3.0, "std": 2.5}
WAYS: dict[str, dict[str, Any]] = {
    "samples": {"sample_rate": 8000, "samples": 900, "mean": 0.1, "std": 0.7, "channel": "first"},
    "htk": {**MEL, "n_fft": 128, "hop": 50, "n_mels": 20, "fmax": 4000.0},
    "slaney, centred, turned": {
        **MEL,
        "n_fft": 200,
        "hop": 80,
        "n_mels": 24,
        "fmax": 3800.0,
        "mel_scale": "slaney",
        "center": True,
        "axes": "mels_frames",
        "channel": "last",
    },
    "frames of a prime": {**MEL, "n_fft": 127, "hop": 64, "n_mels": 10, "fmax": 4000.0},
    "steps": {"sample_rate": 8000, "samples": 1024, "step": 256, "context": 32, "constants": {"sr": 8000}},
}


def asked(content: bytes, how: dict[str, Any]) -> Any:
    script = (
        "const [samples, rate] = page.readWav(new Uint8Array(Buffer.from(given.wav, 'base64')));"
        "return page.inputsOf(page.part(samples, rate, given.how), given.how);"
    )
    return in_node(FILES / "sound.mjs", script, {"wav": base64.b64encode(content).decode(), "how": how})


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("rate", "count"), [(8000, 2300), (11025, 800), (44100, 9000)])
def test_the_page_makes_the_inputs_that_example_py_makes(way: str, rate: int, count: int) -> None:
    how = Sound(**WAYS[way]).model_dump(mode="json")
    content = wav(noise(3, count), rate)
    wanted = sound_features.inputs_of(content, how)
    found = asked(content, how)
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        array = np.asarray(value)
        assert found[name]["dims"] == list(array.shape)
        # The last bit of a sum in float64 may show where it is rounded to float32.
        np.testing.assert_allclose(np.reshape(found[name]["data"], array.shape), array, rtol=1e-6, atol=2e-7)


@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", [1, 2])
def test_wavs_are_read_to_the_bit(width: int, channels: int, tmp_path: Path) -> None:
    import wave

    raw = np.random.default_rng(width).integers(0, 256, 60 * width * channels, np.uint8).tobytes()
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(8000)
        file.writeframes(raw)
    content = (tmp_path / "a.wav").read_bytes()
    wanted, rate = sound_features.read_sound(content)
    given = base64.b64encode(content).decode()
    found = in_node(FILES / "sound.mjs", "return page.readWav(new Uint8Array(Buffer.from(given, 'base64')));", given)
    assert found[1] == rate
    assert np.array_equal(np.float32(found[0]), wanted)


def test_what_is_no_wav_of_numbers_is_left_to_the_browser_and_a_long_one_is_refused() -> None:
    read = "return page.readWav(new Uint8Array(Buffer.from(given, 'base64')));"
    for content in (b"", b"RIFFjunk", b"ID3" + bytes(100), wav(noise(5), 8000)[:20]):
        assert in_node(FILES / "sound.mjs", read, base64.b64encode(content).decode()) is None
    slow = bytearray(wav(noise(1, 4000), 8000))
    slow[24:28] = (1).to_bytes(4, "little")
    told = "try { page.readWav(new Uint8Array(Buffer.from(given, 'base64'))); } catch (error) { return error.message; }"
    assert "longer than 3600 seconds" in in_node(FILES / "sound.mjs", told, base64.b64encode(bytes(slow)).decode())
