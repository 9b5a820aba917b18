"""The models and inputs of docs/cli.md, in this folder: those that the core can write, or what the words name."""

import json
import sys
import wave
from pathlib import Path

import numpy as np

MODELS = """
from torch import nn

class Table(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))

class Image(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))

class Sound(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv1d(1, 4, 9), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 2))
"""
ROWS = np.array([[1.0, 2.0, 3.0], [-1.0, 0.5, 2.0]], dtype=np.float32)


def core() -> None:
    from PIL import Image

    Path("models.py").write_text(MODELS)
    Path("photos").mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    for name in ("cat.png", "dog.jpg"):
        Image.fromarray(rng.integers(0, 256, (12, 10, 3), dtype=np.uint8)).save(Path("photos", name))
    prepared = {"do_resize": True, "size": {"height": 8, "width": 8}, "resample": 2, "do_normalize": False}
    Path("preprocessor_config.json").write_text(json.dumps({"image_processor_type": "ViTImageProcessor", **prepared}))
    np.savetxt("table.csv", ROWS, delimiter=",", header="age,dose,size", comments="")
    np.save("rows.npy", ROWS)
    np.savez("rows.npz", x=ROWS)
    Path("table.parquet").touch()  # an environment without the extra does not look into it
    Path("bert").mkdir(exist_ok=True)
    with wave.open("sound.wav", "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(rng.integers(-3000, 3000, 200).astype("<i2").tobytes())


def parquet() -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table(dict(zip(("age", "dose", "size"), ROWS.T, strict=True))), "table.parquet")


def bert() -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from examples.tiny_sentiment import trained

    for part in trained():
        part.save_pretrained("bert")


if __name__ == "__main__":
    {"": core, "table.parquet": parquet, "bert": bert}["".join(sys.argv[1:])]()
