"""Are the parts that a map marks the parts that the network uses? Patches are removed and the logit is watched.

The protocol, fixed before any result was seen:

- The network's top class on the clean image is explained, and its logit is the curve; nothing is averaged over classes.
- The image is cut into square patches (16 pixels of 224, or 2 of 28: 196 patches). A patch's score is the sum of the
  relevance in it, over all channels. Equal scores are ordered by a random permutation (seed 0), drawn for each image.
- Patches are removed in 50 steps, in groups as equal as 196 allows; after the last one the whole image is gone.
  Removed means filled with the image's own mean of each channel, over all its pixels, as the network reads them.
- Two orders: most relevant first, and its reverse, least relevant first.
- SRG = area under the curve of the least relevant first minus area under that of the most relevant first, as the mean
  over the 50 steps, in units of the logit. (Both curves begin and end alike, so it equals the trapezoid rule.) A higher
  SRG is better; 0 is expected of random orders.
- Methods: every preset of `lrp.presets` with its defaults (bounds: the range of the network's inputs), gradient x
  input (three lines here, not lrp), and random orders (mean of 5 seeds).
- Statistics: on 500 digits, paired one-sided Wilcoxon signed-rank tests of each preset above random, and above gradient
  x input. The ten photographs are listed one by one.

Symmetric relevance gain (SRG): Blücher, Vielhaben, Strodthoff 2024 (arXiv:2401.06654).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from scipy.stats import wilcoxon
from torch import Tensor, nn

__all__ = [
    *("BASELINE", "RANDOM", "SEEDS", "STEPS", "beside"),
    *("curve", "order_by_relevance", "p_above", "patch_scores", "random_order", "srg"),
]

STEPS = 50
BASELINE, RANDOM = "gradient x input", "random order"
SEEDS = range(1, 6)
"""Of the random orders."""


def patch_scores(relevance: Tensor, patch: int) -> Tensor:
    """The sum of relevance in each square patch, over channels, row after row: (N, C, H, W) -> (N, patches)."""
    n, channels, height, width = relevance.shape
    cut = relevance.double().view(n, channels, height // patch, patch, width // patch, patch)
    return cut.sum((1, 3, 5)).flatten(1)


def random_order(n: int, patches: int, seed: int) -> Tensor:
    """A random permutation of the patches for each image, (N, patches)."""
    return torch.rand(n, patches, generator=torch.Generator().manual_seed(seed)).argsort(1)


def order_by_relevance(scores: Tensor, seed: int = 0) -> Tensor:
    """The numbers of the patches, most relevant first; ties in random order. Its `flip(1)` is least relevant first."""
    if not scores.isfinite().all():
        raise ValueError("a map with an entry that is not finite has no order")
    shuffled = random_order(*scores.shape, seed)
    ranks = scores.gather(1, shuffled).argsort(dim=1, descending=True, stable=True)
    return shuffled.gather(1, ranks)


@torch.inference_mode()
def curve(model: nn.Module, x: Tensor, classes: Tensor, order: Tensor, patch: int, steps: int = STEPS) -> Tensor:
    """The logit of each image's class after 0, 1, ... `steps` groups of patches were removed: (N, steps + 1)."""
    n, patches = order.shape
    rows, columns = x.shape[2] // patch, x.shape[3] // patch
    position = order.argsort(1).view(n, 1, rows, columns)
    position = position.repeat_interleave(patch, 2).repeat_interleave(patch, 3)
    fill = x.mean((2, 3), keepdim=True)
    removed = [round(step * patches / steps) for step in range(steps + 1)]
    logits = [model(torch.where(position < count, fill, x)).gather(1, classes[:, None]) for count in removed]
    return torch.cat(logits, 1).double()


def srg(model: nn.Module, x: Tensor, classes: Tensor, order: Tensor, patch: int, steps: int = STEPS) -> Tensor:
    """Symmetric relevance gain of each image, (N,): least relevant first minus most relevant first, mean over steps."""
    least = curve(model, x, classes, order.flip(1), patch, steps)
    most = curve(model, x, classes, order, patch, steps)
    return (least - most)[:, 1:].mean(1)


def beside(gain: Tensor, gained: Mapping[str, Tensor]) -> dict[str, float]:
    """What a record says of one method's gains, one a sample, beside those of the random order and of the baseline."""
    return {
        "srg": round(gain.mean().item(), 3),
        "standard_error": round((gain.std() / len(gain) ** 0.5).item(), 3),
        "above_random": round((gain > gained[RANDOM]).double().mean().item(), 3),
        "p_above_random": p_above(gain, gained[RANDOM]),
        "p_above_gradient_x_input": p_above(gain, gained[BASELINE]),
    }


def p_above(ours: Tensor, theirs: Tensor) -> float:
    """One-sided paired Wilcoxon signed-rank test: the chance of such a lead if there were none."""
    if torch.equal(ours, theirs):
        return 1.0
    return float(f"{wilcoxon((ours - theirs).numpy(), alternative='greater').pvalue:.2g}")
