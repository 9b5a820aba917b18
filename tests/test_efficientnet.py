"""Real weights, a real photograph: EfficientNet-Lite0's books balance under every preset."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import lrp
from lrp.models import imagenet
from tests.cases.presets import ALL_PRESETS

# several presets amplify on this network, and the warning says so
pytestmark = pytest.mark.filterwarnings("ignore:the sources' relevance is")


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return imagenet.classifier()


@pytest.fixture(scope="module")
def cat() -> Tensor:
    return imagenet.model_input(imagenet.photograph("chelsea"))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)], ids=["f32", "f64"])
@pytest.mark.parametrize("preset", ALL_PRESETS)
def test_books_balance(network: nn.Module, cat: Tensor, preset: str, dtype: torch.dtype, tolerance: float) -> None:
    network.to(dtype)
    r = lrp.explain(network, cat.to(dtype), composite=ALL_PRESETS[preset](), ledger="calls")
    assert r.indices.tolist() == [282]
    scale = float(r.ledger.scale)
    assert float(r.ledger.residual.abs()) <= tolerance * scale
    assert float(r.ledger.worst[1].abs()) <= tolerance * scale
    assert len(r.ledger.lost) > 100
