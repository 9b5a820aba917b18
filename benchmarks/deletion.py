"""Are the tokens that a map marks the tokens that the network uses? They are deleted, and the output is watched.

The protocol, fixed before any result was seen:

- Sentiment: the MiniLM classifier of `texts.py` reads 300 sentences that its head was not trained on, the first ones in
  the order that was drawn there (seed 0). The logit of its top class minus that of the other class is explained.
- Next token: SmolLM2-135M-Instruct reads the 50 prompts of `data/prompts.txt`, without a chat template or any special
  token. The logit of the token that it puts first is explained.
- A token's score is its relevance. Equal scores are ordered by a random permutation (seed 0).
- Tokens are deleted until all are gone: one by one where there are at most ten, else in ten groups as equal as their
  number allows. Deleted means replaced by one neutral token, so that the places of the others stay: [MASK] for MiniLM,
  which stood in its pretraining where a word was not to be known; a lone space for SmolLM2, which has no such token
  (its <|endoftext|> cuts off what comes before it, so it is not neutral). [CLS] and [SEP] are never deleted; the
  prompts have no special tokens.
- Two orders: most relevant first, and its reverse, least relevant first. The explained output is recorded at each step.
- SRG = area under the curve of the least relevant first minus area under that of the most relevant first, as the mean
  over the steps, in logits. Higher is better; 0 is expected of random orders.
- Methods: every preset of `lrp.presets` with its defaults, but those that differ from another only at convolutions or
  gates of a recurrent network; gradient x input (not by lrp); random orders (mean of 5 seeds). For SmolLM2, `cp_lrp`
  once more as LXT reads it: in gated MLPs the activated branch counts as a constant, where `cp_lrp` gives each half.
- Statistics: paired one-sided Wilcoxon signed-rank tests over the texts, of each method above random orders, above
  gradient x input, and above `auto`; not corrected for the number of methods.
- `auto` takes another preset where attention is met only if that one is above it with p < 0.01 on both models.

Symmetric relevance gain (SRG): Blücher, Vielhaben, Strodthoff 2024 (arXiv:2401.06654), there for patches of images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

__all__ = ["STEPS", "deleted", "gains"]

STEPS = 10


def deleted(order: Tensor, steps: int = STEPS) -> Tensor:
    """Which tokens are gone after each step in this order: (T,) -> (steps or T, T), boolean."""
    tokens, steps = len(order), min(steps, len(order))
    gone = torch.tensor([round(step * tokens / steps) for step in range(1, steps + 1)])
    return order.argsort() < gone[:, None]


def gains(orders: Mapping[str, Tensor], value: Callable[[Tensor], Tensor]) -> dict[str, float]:
    """SRG of some orders, most relevant first, of the tokens of one text.

    Args:
        orders: name -> the tokens' numbers, (T,).
        value: the explained output for sets of deleted tokens, (M, T) boolean -> (M,). Every set is asked for once.
    """
    sets = torch.cat([deleted(way) for order in orders.values() for way in (order, order.flip(0))])
    different, where = sets.unique(dim=0, return_inverse=True)
    most, least = value(different).double()[where].view(len(orders), 2, -1).unbind(1)
    return dict(zip(orders, (least - most).mean(1).tolist(), strict=True))
