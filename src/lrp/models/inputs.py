"""Inputs from files: the kind of file decides how it is read, the first axis is always the sample axis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from lrp.errors import InputError, LoadError
from lrp.models.arrays import read_arrays
from lrp.models.images import ENDINGS, read_picture, to_tensor
from lrp.models.parquet import read_parquet
from lrp.models.preprocess import Preprocess
from lrp.models.sounds import read_sound
from lrp.models.tables import read_table

__all__ = ["READABLE", "Inputs", "load_inputs"]

READABLE = (".csv", ".parquet", ".npy", ".npz", ".wav", *ENDINGS)
"""The endings of files that `load_inputs` reads."""


@dataclass(frozen=True)
class Inputs:
    """What a file holds, ready for a model.

    Attributes:
        values: a tensor, or tensors by keyword; axis 0 of each is the sample axis.
        features: the column names of a table, else empty.
        picture: the picture that a heatmap can be laid over, for an image, else None.
    """

    values: Tensor | Mapping[str, Tensor]
    features: tuple[str, ...] = ()
    picture: Image.Image | None = None

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The tensors by name; a single positional one is called ``input``."""
        return {"input": self.values} if isinstance(self.values, Tensor) else dict(self.values)

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values())))

    def sample(self, index: int) -> Tensor | dict[str, Tensor]:
        """Return one sample, with its sample axis: shape (1, ...)."""
        if isinstance(self.values, Tensor):
            return self.values[index : index + 1]
        return {name: value[index : index + 1] for name, value in self.values.items()}

    def to(self, device: torch.device, dtype: torch.dtype) -> Inputs:
        """Return the same inputs on a device, the floating ones cast to a dtype."""

        def moved(value: Tensor) -> Tensor:
            return value.to(device=device, dtype=dtype if value.is_floating_point() else None)

        values = self.values
        new = moved(values) if isinstance(values, Tensor) else {name: moved(value) for name, value in values.items()}
        return Inputs(new, self.features, self.picture)


def load_inputs(
    path: str | Path,
    *,
    size: int | None = None,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    preprocess: Preprocess | None = None,
    rate: int | None = None,
    mono: bool = False,
    normalize: bool = False,
) -> Inputs:
    """Return the inputs that a file holds.

    Args:
        path: `.csv`: numbers (N, D) in float32, with or without a header of names; `.parquet`: the same (extra
            `tables`). `.npy`: one array, positional. `.npz`: one array, positional, or several, keyword inputs by
            their names. `.wav`: (1, channels, samples) in float32, from -1 to 1. An image: (1, 3, H, W) in float32,
            RGB from 0 to 1.
        size: for images: resize the shorter side to it and crop the centre square; None leaves the image as it is.
        mean, std: for images: three numbers each, for red, green, blue; the input is `(image - mean) / std`.
        preprocess: for images, instead of these three: what the model's configuration says (`read_preprocess`).
        rate: for sounds: the samples a second that a file must have; None takes any.
        mono: for sounds: (1, samples), of one channel.
        normalize: for sounds: mean 0, variance 1.

    Raises:
        LoadError: no such file, or one that cannot be read.
        UnsafeFileError: an array file that holds pickles.
        MissingExtraError: a Parquet file, and no pyarrow.
        InputError: content that is no input: text among the numbers, missing or infinite values, no samples.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if not path.is_file():
        cure = "give a .csv, .parquet, .npy, .npz, .wav or image file"
        raise LoadError("there is no such file", where="INPUT", seen=str(path), cure=cure)
    by_hand = size is not None or mean is not None or std is not None
    if preprocess is not None and by_hand:
        cure = "leave --size, --mean and --std out"
        raise InputError("the configuration says size, mean and std already", where="--preprocess", cure=cure)
    if ending in ENDINGS:
        picture = read_picture(path, size=size)
        if preprocess is None:
            return Inputs(to_tensor(picture, mean=mean, std=std), picture=picture)
        picture = preprocess.fitted(picture)
        return Inputs(preprocess.tensor(picture), picture=picture)
    if by_hand or preprocess is not None:
        cure = "leave --size, --mean, --std and --preprocess out"
        raise InputError("size, mean, std and preprocess are for images", where=str(path), cure=cure)
    if ending == ".wav":
        return Inputs(read_sound(path, rate=rate, mono=mono, normalize=normalize))
    if rate is not None:
        raise InputError("a rate is for sounds", where=str(path), cure="leave --rate out")
    if ending in (".csv", ".parquet"):
        names, values = read_table(path) if ending == ".csv" else read_parquet(path)
        return Inputs(values, features=names)
    if ending in (".npy", ".npz"):
        return Inputs(read_arrays(path))
    raise LoadError(
        "the file's ending says nothing that can be read",
        where="INPUT",
        seen=str(path),
        cure=f"inputs are {', '.join(READABLE)}",
    )
