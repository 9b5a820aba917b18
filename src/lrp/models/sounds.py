"""Sounds from WAV files, by the standard library and numpy."""

from __future__ import annotations

import json
import wave
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lrp.errors import InputError, LoadError

__all__ = ["extractor", "read_sound"]

EXTRACTOR = {"sampling_rate", "do_normalize", "feature_size"}
EXTRACTOR_ELSE = {"feature_extractor_type", "processor_class", "padding_side", "padding_value", "return_attention_mask"}


def read_sound(path: Path, *, rate: int | None = None, mono: bool = False, normalize: bool = False) -> Tensor:
    """Return a WAV file as float32 from -1 to 1, shape (1, channels, samples): an axis of one sample, as ever.

    Args:
        path: PCM of 8, 16, 24 or 32 bits.
        rate: the samples a second that the model was trained with; a file of another rate is refused. None: any.
        mono: without the axis of channels, (1, samples); a file of several channels is refused.
        normalize: mean 0 and variance 1, as the extractors of transformers do: `(x - mean) / sqrt(variance + 1e-7)`.

    Raises:
        LoadError: no WAV file, a damaged one, or one that is not PCM.
        InputError: another rate, several channels where one is wanted, no samples.
    """
    try:
        with wave.open(str(path), "rb") as file:
            channels, width, found, count = file.getparams()[:4]
            data = file.readframes(count)
    except (wave.Error, EOFError, OSError) as error:
        cure = "save it as PCM of 16 bits (ffmpeg -i IN -c:a pcm_s16le OUT.wav)"
        raise LoadError(
            "the file cannot be read as a PCM sound", where=str(path), seen=told(error), cure=cure
        ) from error
    if len(data) != count * channels * width or not 1 <= width <= 4:
        seen = f"{len(data)} bytes of {count} samples, {channels} channels, {8 * width} bits"
        raise LoadError("the sound is damaged", where=str(path), seen=seen)
    if rate is not None and rate != found:
        cure = f"resample it: ffmpeg -i IN -ar {rate} OUT.wav"
        raise InputError("the sound has another rate", where=str(path), seen=f"{found}, not {rate}", cure=cure)
    if mono and channels > 1:
        cure = "mix it down: ffmpeg -i IN -ac 1 OUT.wav"
        raise InputError("the sound has several channels", where=str(path), seen=f"{channels} channels", cure=cure)
    if not count:
        raise InputError("there are no samples", where=str(path), seen="a sound of no length")
    sound = torch.from_numpy(decoded(data, width).reshape(count, channels).T.copy())
    if normalize:
        sound = (sound - sound.mean()) / (sound.var(correction=0) + 1e-7).sqrt()
    return sound if mono else sound[None]


def extractor(path: Path) -> tuple[int, bool]:
    """Return the rate that a Wav2Vec2FeatureExtractor of transformers wants, and whether it normalises a sound.

    Raises:
        LoadError: another extractor, or a key that is not known.
    """
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        strange = sorted(config.keys() - EXTRACTOR - EXTRACTOR_ELSE)
        if config.get("feature_extractor_type") != "Wav2Vec2FeatureExtractor" or config.get("feature_size", 1) != 1:
            strange = [f"feature_extractor_type {config.get('feature_extractor_type')}"]
        if not strange:
            return int(config["sampling_rate"]), bool(config["do_normalize"])
    except (OSError, ValueError, AttributeError, KeyError) as error:
        raise LoadError("the configuration cannot be read", where=str(path), seen=f"{error!r}") from error
    cure = "prepare the sounds yourself, as .npy"
    raise LoadError("what this extractor does is not known", where=str(path), seen=", ".join(strange), cure=cure)


def decoded(data: bytes, width: int) -> np.ndarray:
    """Return PCM numbers of `width` bytes as float32 from -1 to 1.

    >>> decoded(bytes([0, 128, 255]), 1).tolist(), decoded(bytes([0, 0, 128, 0, 0, 64]), 3).tolist()
    ([-1.0, 0.0, 0.9921875], [-1.0, 0.5])
    """
    octets = np.frombuffer(data, dtype=np.uint8).reshape(-1, width)
    if width == 1:  # the only unsigned one
        return ((octets[:, 0] - 128.0) / 128).astype(np.float32)
    whole = np.zeros((len(octets), 4), dtype=np.uint8)
    whole[:, 4 - width :] = octets  # the low octets of 32 bits stay 0
    return (whole.view("<i4")[:, 0] / 2.0**31).astype(np.float32)


def told(error: BaseException) -> str:
    """Return an error in words: Python 3.11 calls formats by their numbers."""
    formats = {"unknown format: 3": "floating-point numbers", "unknown format: 65534": "WAVE_FORMAT_EXTENSIBLE"}
    return formats.get(str(error), str(error) or "the file ends too early")
