"""Samples of every kind of file, resampling, and features against librosa's and torchaudio's formulas."""

from __future__ import annotations

import io

import numpy as np
import pytest

from edgepipe.contract import Sound
from edgepipe.data.sound_features import (
    BadSound,
    fitted,
    log_mel,
    mel_bands,
    prepared,
    read_sound,
    resampled,
    stepped,
)
from tests.data.recordings import noise, wav


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_pcm_of_any_width_is_read_and_channels_are_averaged(width: int) -> None:
    samples = noise(1, 50)
    found, rate = read_sound(wav(samples, 8000, width))
    assert (rate, found.dtype, found.shape) == (8000, np.float32, (50,))
    np.testing.assert_allclose(found, samples, atol=2.0 ** (2 - 8 * width) + 1e-6)
    two = np.stack([samples, -samples], axis=1)
    np.testing.assert_allclose(read_sound(wav(two, 16000, width, 2))[0], 0, atol=2.0 ** (2 - 8 * width))


def test_flac_is_read_by_soundfile_as_the_wav_that_it_holds() -> None:
    soundfile = pytest.importorskip("soundfile")
    samples = read_sound(wav(noise(2, 300)))[0]
    stream = io.BytesIO()
    soundfile.write(stream, samples, 8000, format="FLAC", subtype="PCM_16")
    assert np.array_equal(read_sound(stream.getvalue())[0], samples)


@pytest.mark.parametrize("content", [b"", b"RIFF\x00\x00\x00\x00WAVE", b"junk" * 50, wav(noise(1))[:30]])
def test_what_is_no_recording_is_refused(content: bytes) -> None:
    with pytest.raises(BadSound):
        read_sound(content)


def test_a_file_that_says_more_than_it_holds_is_what_it_holds() -> None:
    whole = wav(noise(3, 100))
    assert len(read_sound(whole[:-50])[0]) == 75


@pytest.mark.parametrize(("rate", "wanted"), [(16000, 8000), (8000, 16000), (44100, 16000), (22050, 44100)])
def test_a_tone_stays_that_tone_at_another_rate(rate: int, wanted: int) -> None:
    def tone(at: int) -> np.ndarray:
        return np.sin(2 * np.pi * 440 * np.arange(at // 4) / at).astype(np.float32)

    found, right = resampled(tone(rate), rate, wanted), tone(wanted)
    assert abs(len(found) - len(right)) <= 1
    inner = slice(400, min(len(found), len(right)) - 400)
    np.testing.assert_allclose(found[inner], right[inner], atol=1e-4)
    above = np.sin(2 * np.pi * 0.45 * np.arange(4000)).astype(np.float32)
    if wanted < rate / 1.5:
        assert np.abs(resampled(above, rate, wanted)[300:-300]).max() < 1e-3  # what the new rate cannot hold is gone


def test_examples_are_the_middle_or_have_zeros_on_both_sides() -> None:
    assert fitted(np.arange(7), 4).tolist() == [1, 2, 3, 4]
    assert fitted(np.arange(1, 4), 6).tolist() == [0, 1, 2, 3, 0, 0]


def test_steps_have_what_came_before_in_front() -> None:
    found = stepped(np.arange(1, 7, dtype=np.float32), 2, 3)
    assert found.tolist() == [[0, 0, 0, 1, 2], [0, 1, 2, 3, 4], [2, 3, 4, 5, 6]]


def test_bands_are_triangles_that_add_up_to_1_or_have_the_area_1() -> None:
    htk = mel_bands(16000, 512, 40, 20, 8000, "htk")
    middle = slice(np.flatnonzero(htk[0])[-1] + 1, np.flatnonzero(htk[-1])[0])
    np.testing.assert_allclose(htk.sum(axis=0)[middle], 1)
    slaney = mel_bands(16000, 4096, 20, 0, 8000, "slaney")
    np.testing.assert_allclose(slaney.sum(axis=1) * 16000 / 4096, 1, rtol=0.02)


@pytest.mark.parametrize(("scale", "norm"), [("htk", None), ("slaney", "slaney")])
def test_bands_are_those_of_transformers(scale: str, norm: str | None) -> None:
    audio = pytest.importorskip("transformers.audio_utils")
    wanted = audio.mel_filter_bank(257, 40, 20.0, 7000.0, 16000, norm=norm, mel_scale=scale).T
    np.testing.assert_allclose(mel_bands(16000, 512, 40, 20, 7000, scale), wanted, atol=1e-9)


def test_a_tone_is_loudest_in_its_band_whatever_the_axes() -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(8000) / 8000).astype(np.float32)
    how = Sound(sample_rate=8000, samples=8000, features="log_mel", n_fft=256, hop=128, fmax=4000).model_dump()
    found = log_mel(tone, how)
    assert found.shape == (61, 40)
    bands = mel_bands(8000, 256, 40, 20, 4000, "htk")
    assert set(found.argmax(axis=1).tolist()) == {int(bands[:, 32].argmax())}
    wide = log_mel(tone, {**how, "center": True, "axes": "mels_frames"})
    assert wide.shape == (40, 63)
    np.testing.assert_allclose(wide[:, 1:-1], found.T)
    scaled = prepared(tone, {**how, "mean": 2.0, "std": 4.0, "channel": "last"})
    np.testing.assert_allclose(scaled[..., 0], (found - 2) / 4, rtol=1e-6)
    assert scaled.dtype == np.float32 and scaled.shape == (61, 40, 1)
