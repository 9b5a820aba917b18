"""Compare lrp with a sequential scan written by hand on transformers' Mamba and Mamba-2 (LXT environment).

Tiny random models in float64, in transformers' own torch code, unmodified: each scan in the form that the library has
for processors. In the form by hand (tests/cases/state_space.py) delta, A, B and C are detached, the gate's product is
halved, and the gradient is the multiplier. Exit 1 where the maps, or one batch and its samples, are more than 1e-12 of
the largest entry apart, or the books are off by as much.

    python -m tests.agreement.live_scans
"""

from __future__ import annotations

import sys
from typing import Any

from tests.agreement.tiny import LENGTH, VOCABULARY, Double, InDouble  # first: it makes torchvision importable

# isort: split
import torch
import transformers
from torch import Tensor, nn

import lrp
from tests.agreement.by_hand import Norm
from tests.agreement.compared import apart
from tests.agreement.plain import filled
from tests.cases.state_space import by_hand

LIMIT = 1e-12
SIZES = {"vocab_size": VOCABULARY, "hidden_size": 32, "state_size": 6, "num_hidden_layers": 2, "use_cache": False}
HEADS = {"num_heads": 8, "head_dim": 8, "n_groups": 2, "chunk_size": 4}


def build(name: str) -> Any:
    more = HEADS if name == "Mamba2" else {}
    model = getattr(transformers, f"{name}ForCausalLM")(getattr(transformers, f"{name}Config")(**SIZES, **more))
    return filled(model, seed=8)


class Written(nn.Module):
    def __init__(self, given: nn.Module) -> None:
        super().__init__()
        self.scan = by_hand(given)

    def forward(self, hidden_states: Tensor, *_: Any, **__: Any) -> Tensor:
        return self.scan(hidden_states)


def written(model: Any) -> Any:
    """The model with its mixers and norms by hand."""
    for layer in model.backbone.layers:
        layer.mixer, layer.norm = Written(layer.mixer), Norm(layer.norm)
    model.backbone.norm_f = Norm(model.backbone.norm_f)
    return model


def explained(output: Any) -> Tensor:
    logit: Tensor = output.logits[:, -1, 3]
    return logit


def main() -> int:
    print(f"lrp against a scan by hand, transformers {transformers.__version__}, torch {torch.__version__}")
    worst = 0.0
    ids = torch.randint(2, VOCABULARY, (2, LENGTH), generator=torch.Generator().manual_seed(9))
    for name in ("Mamba", "Mamba2"):
        model = build(name)
        x = model.get_input_embeddings()(ids).detach()
        leaf = x.clone().requires_grad_()
        with InDouble():
            z = explained(written(build(name))(inputs_embeds=leaf))
        (gradient,) = torch.autograd.grad(z.sum(), leaf)
        r = lrp.explain(Double(model), {"inputs_embeds": x}, target=explained)
        singles = [lrp.explain(Double(model), {"inputs_embeds": one[None]}, target=explained) for one in x]
        row = {
            "output": apart(r.explained[:, None], z[:, None].detach()),
            "map": apart(r.input["inputs_embeds"], (x * gradient).detach()),
            "singles": apart(r.input["inputs_embeds"], torch.cat([each.input["inputs_embeds"] for each in singles])),
            "books": float(r.ledger.residual.abs() / r.ledger.scale),
        }
        print(f"{name:7} {r.composite.name}: " + ", ".join(f"{key} {value:.0e}" for key, value in row.items()))
        worst = max(worst, *row.values())
    print(f"worst {worst:.1e}, allowed {LIMIT:.0e}")
    return int(not worst <= LIMIT)


if __name__ == "__main__":
    sys.exit(main())
