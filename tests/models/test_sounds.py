import json
import struct
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Wav2Vec2FeatureExtractor

from lrp.errors import InputError, LoadError
from lrp.models import extractor, load_inputs


def written(path: Path, numbers: list[int], width: int, channels: int = 1, rate: int = 8000) -> Path:
    """Write PCM numbers, each as `width` bytes; 8 bits are unsigned."""
    data = b"".join(number.to_bytes(width, "little", signed=width > 1) for number in numbers)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(data)
    return path


@pytest.mark.parametrize(
    ("width", "numbers", "expected"),
    [
        (1, [0, 64, 128, 255], [-1, -0.5, 0, 127 / 128]),
        (2, [-(2**15), -1, 0, 2**14], [-1, -(2.0**-15), 0, 0.5]),
        (3, [-(2**23), -1, 1, 2**22], [-1, -(2.0**-23), 2.0**-23, 0.5]),
        (4, [-(2**31), -(2**8), 0, 2**30], [-1, -(2.0**-23), 0, 0.5]),
    ],
)
def test_every_width(tmp_path: Path, width: int, numbers: list[int], expected: list[float]) -> None:
    found = load_inputs(written(tmp_path / "x.wav", numbers, width)).values
    assert found.dtype == torch.float32
    assert found.shape == (1, 1, 4)
    assert found[0, 0].tolist() == expected


def test_channels_and_mono(tmp_path: Path) -> None:
    stereo = written(tmp_path / "two.wav", [1, -1, 2, -2, 3, -3], 2, channels=2)
    found = load_inputs(stereo).values * 2**15
    assert found.tolist() == [[[1, 2, 3], [-1, -2, -3]]]
    with pytest.raises(InputError, match="several channels"):
        load_inputs(stereo, mono=True)
    assert load_inputs(written(tmp_path / "one.wav", [1, 2, 3], 2), mono=True).values.shape == (1, 3)


def test_normalised_as_transformers_does(tmp_path: Path) -> None:
    numbers = [3, -1, 200, 7, 12]
    found = load_inputs(written(tmp_path / "x.wav", numbers, 2), mono=True, normalize=True).values
    sound = np.array(numbers, dtype=np.float32) / 2**15
    expected = Wav2Vec2FeatureExtractor(do_normalize=True)(sound, sampling_rate=16000, return_tensors="pt")
    torch.testing.assert_close(found, expected["input_values"])


WAV2VEC2 = {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "sampling_rate": 8000, "do_normalize": False}


def test_what_an_extractor_says(tmp_path: Path) -> None:
    path = tmp_path / "preprocessor_config.json"
    path.write_text(json.dumps(WAV2VEC2))
    assert extractor(path) == (8000, False)
    Wav2Vec2FeatureExtractor(sampling_rate=22050, do_normalize=True).save_pretrained(tmp_path)
    assert extractor(path) == (22050, True)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({**WAV2VEC2, "feature_extractor_type": "WhisperFeatureExtractor"}, "WhisperFeatureExtractor"),
        ({**WAV2VEC2, "feature_size": 2}, "not known"),
        ({**WAV2VEC2, "num_mel_bins": 80}, "num_mel_bins"),
        ({key: value for key, value in WAV2VEC2.items() if key != "do_normalize"}, "do_normalize"),
        ([1], "cannot be read"),
    ],
)
def test_extractors_that_are_refused(tmp_path: Path, config: Any, words: str) -> None:
    path = tmp_path / "preprocessor_config.json"
    path.write_text(json.dumps(config))
    with pytest.raises(LoadError, match=words):
        extractor(path)


def test_the_rate(tmp_path: Path) -> None:
    path = written(tmp_path / "x.wav", [1, 2], 2, rate=44100)
    assert load_inputs(path, rate=44100).values.shape == (1, 1, 2)
    with pytest.raises(InputError, match="44100, not 16000"):
        load_inputs(path, rate=16000)
    np.save(tmp_path / "x.npy", np.ones((1, 3)))
    with pytest.raises(InputError, match="for sounds"):
        load_inputs(tmp_path / "x.npy", rate=16000)


def test_sounds_that_are_no_input(tmp_path: Path) -> None:
    path = written(tmp_path / "x.wav", [1, 2, 3, 4], 2)
    whole = path.read_bytes()
    for data, words in (
        (b"nothing", "cannot be read"),
        (b"", "cannot be read"),
        (whole[:-3], "damaged"),
        (whole.replace(struct.pack("<H", 1), struct.pack("<H", 3), 1), "cannot be read"),
    ):
        path.write_bytes(data)
        with pytest.raises(LoadError, match=words):
            load_inputs(path)
    with pytest.raises(InputError, match="no samples"):
        load_inputs(written(path, [], 2))


def test_floating_point_is_refused_by_name(tmp_path: Path) -> None:
    path = written(tmp_path / "x.wav", [1, 2], 4)
    data = bytearray(path.read_bytes())
    at = data.index(b"fmt ") + 8
    data[at : at + 2] = struct.pack("<H", 3)
    path.write_bytes(bytes(data))
    with pytest.raises(LoadError, match=r"floating-point numbers(.|\n)*ffmpeg"):
        load_inputs(path)
