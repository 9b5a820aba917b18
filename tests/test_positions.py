"""Positional embeddings as sources: they get what the ledger's constants kept, and the tokens what they had."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import transformers
from torch import Tensor, nn

import lrp
from lrp import presets
from lrp.errors import InputError
from tests.cases.networks import prepare, signed
from tests.cases.texts import build
from tests.cases.transformers import Decoder, Encoder
from tests.ops.driving import assert_books_balance, assert_same_map

pytestmark = pytest.mark.filterwarnings("ignore:.*the map may be noise:lrp.LRPWarning")


class TwoTokens(nn.Module):
    """`y = sum over t of (t + 1) v . relu(token + position + type + c)`: tokens (1, 2), (3, -1), positions (1, 0),
    (-2, 2), both of type (0, 1), c = (1, 1), v = (2, 1).
    """

    def __init__(self) -> None:
        super().__init__()
        tables = {"token": [[1.0, 2.0], [3.0, -1.0]], "position": [[1.0, 0.0], [-2.0, 2.0], [9.0, 9.0]]}
        self.tables = nn.ModuleDict({n: nn.Embedding.from_pretrained(torch.tensor(t)) for n, t in tables.items()})
        self.types = nn.Parameter(torch.tensor([[[0.0, 1.0], [0.0, 1.0]]]))
        self.bias = nn.Parameter(torch.tensor([[1.0, 1.0]]))

    def forward(self, ids: Tensor) -> Tensor:
        h = self.tables["token"](ids) + self.tables["position"](torch.arange(ids.shape[1]))
        h += self.types
        weights = torch.tensor([[2.0, 1.0], [4.0, 2.0]], dtype=h.dtype)
        return (torch.relu(h + self.bias) * weights).sum((1, 2))


@pytest.mark.parametrize("level", ["sinks", "calls", False])
def test_two_tokens_by_hand(level: Any) -> None:
    r = lrp.explain(TwoTokens().double(), torch.tensor([[0, 1], [1, 1]]), positions=True, ledger=level)
    # in the ReLU, the first sample: (1 + 1 + 0 + 1, 2 + 0 + 1 + 1) = (3, 4), (3 - 2 + 0 + 1, -1 + 2 + 1 + 1) = (2, 3)
    # the second one: (3 + 1 + 0 + 1, -1 + 0 + 1 + 1) = (5, 1), and the second token again
    assert r.explained.tolist() == [2 * 3 + 1 * 4 + 4 * 2 + 2 * 3, 2 * 5 + 1 * 1 + 4 * 2 + 2 * 3]
    assert r.input.tolist() == [[2 * 1 + 1 * 2, 4 * 3 - 2 * 1], [2 * 3 - 1 * 1, 4 * 3 - 2 * 1]]
    assert r.positions["tables.position"].tolist() == [[2 * 1, 4 * -2 + 2 * 2]] * 2
    assert r.positions["types"].tolist() == [[1, 2]] * 2
    assert list(r.positions) == ["tables.position", "types"]
    if r.ledger is not None:
        assert float(r.ledger.sources) == 4 + 10 + 5 + 10 + 2 * (2 - 4) + 2 * 3
        assert [(row.kind, float(row.amount)) for row in r.ledger.rows] == [("constant", 2 * (2 + 1 + 4 + 2))]
        assert_books_balance(r)
        assert r.ledger.by_sample().sources.tolist() == [14 - 2 + 3, 15 - 2 + 3]
    shares = r.totals()
    assert shares["tables.position"].relevance.tolist() == [-2, -2]
    assert_same_map(shares["input"].share, torch.tensor([14 / 15, 15 / 16], dtype=torch.float64))


class Wrapped(nn.Module):
    """Mean over tokens behind a GELU, of tokens `(N, T, D)` to which `add` adds positions."""

    def __init__(self, add: Callable[[Any, Tensor], Tensor], *shape: int) -> None:
        super().__init__()
        self.add, self.out = add, nn.Linear(4, 2)
        self.pe = nn.Parameter(signed(*shape, seed=7))
        self.scale = nn.Parameter(signed(4, seed=8))

    def forward(self, x: Tensor) -> Tensor:
        return self.out(F.gelu(self.add(self, x))).flatten(1, -2).mean(1)


def in_place(m: Any, x: Tensor) -> Tensor:
    x = x * 2
    x += m.pe[:, :3]
    return x


def written(m: Any, x: Tensor) -> Tensor:
    positions = m.pe[:, :3].clone()
    positions[:, 0] += 1
    positions += torch.ones(4, dtype=x.dtype)
    return x + positions


X = signed(2, 3, 4, seed=9)
ADDED: dict[str, tuple[Any, tuple[int, ...]]] = {
    "slice": (lambda m, x: x + m.pe[:, :3], (1, 5, 4)),
    "first": (lambda m, x: m.pe[:3] + x, (5, 4)),
    "in place": (in_place, (1, 5, 4)),
    "method": (lambda m, x: x.add(m.pe, alpha=2), (3, 4)),
    "looked up": (lambda m, x: x + F.embedding(torch.arange(3).expand(2, 3), m.pe), (5, 4)),
    "of one type": (lambda m, x: x + F.embedding(torch.zeros(1, 3, dtype=torch.long), m.pe), (1, 4)),
    "indexed": (lambda m, x: x + m.pe[torch.arange(3) + 1], (5, 4)),
    "no graph": (lambda m, x: x + m.pe.data[:3].detach(), (5, 4)),
    "resized": (lambda m, x: x + F.interpolate(m.pe.mT, 3, mode="linear").mT, (1, 5, 4)),
    "put together": (lambda m, x: x + torch.cat([m.pe[:, :1], m.pe[:, 2:] * 0.5], 1), (1, 4, 4)),
    "scaled tokens": (lambda m, x: x * 4**0.5 + F.dropout(m.pe, 0.1, False), (1, 3, 4)),
}


@pytest.mark.parametrize("composite", [presets.zero(), presets.epsilon_plus(), presets.epsilon_plus_flat()], ids=str)
@pytest.mark.parametrize("name", ADDED)
def test_ways_of_adding_positions(name: str, composite: lrp.Composite) -> None:
    add, shape = ADDED[name]
    model = prepare(Wrapped(add, *shape), seed=3)
    assert_moves_from_constants(model, X, {"pe": (2, 3)}, target=1, composite=composite)


NOT_ADDED: dict[str, tuple[Any, tuple[int, ...]]] = {
    "bias": (lambda m, x: x + m.scale.view(1, 1, 4), (1, 3, 4)),
    "bias of one token": (lambda m, x: x[:, :1] + m.scale.view(1, 1, 4), (1, 3, 4)),
    "beside the data": (lambda m, x: torch.cat([m.pe.expand(2, 3, 4), x], 1), (1, 3, 4)),
    "one for all": (lambda m, x: x + m.pe[:, :1], (1, 3, 4)),
    "another's features": (lambda m, x: x + m.pe, (3, 1)),
    "multiplied": (lambda m, x: x * m.pe, (1, 3, 4)),
    "scores": (lambda m, x: F.pad((x @ x.mT + m.pe).softmax(-1), (0, 1)), (3, 3)),
    "of two": (lambda m, x: x + m.pe * m.scale, (1, 3, 4)),
    "of the data": (lambda m, x: x + (m.pe + x.detach() * 0), (1, 3, 4)),
    "written": (written, (1, 5, 4)),
    "made up": (lambda m, x: x + torch.ones(3, 4, dtype=x.dtype), (1, 3, 4)),
    "a map": (lambda m, x: x.unsqueeze(1) + m.pe, (1, 1, 3, 4)),
}


@pytest.mark.parametrize("name", NOT_ADDED)
@pytest.mark.filterwarnings("ignore:.*left the graph:lrp.LRPWarning")
def test_what_is_no_position(name: str) -> None:
    add, shape = NOT_ADDED[name]
    model = prepare(Wrapped(add, *shape), seed=3)
    r = assert_moves_from_constants(model, X, {}, target=1)
    assert any("no positional embedding" in note for note in r.notes)


def assert_moves_from_constants(model: Any, inputs: Any, shapes: dict[str, Any], **options: Any) -> lrp.Relevance:
    """The tokens' relevance is the same to the last bit, and positions get what constants kept."""
    before = lrp.explain(model, inputs, **options)
    after = lrp.explain(model, inputs, positions=True, ledger="calls", **options)
    assert {name: tuple(r.shape) for name, r in after.positions.items()} == shapes
    for ours, theirs in zip(tensors(after.input), tensors(before.input), strict=True):
        assert torch.equal(ours, theirs)
    assert torch.equal(after.explained, before.explained)
    books, kept = after.ledger, before.ledger
    assert books is not None
    assert kept is not None
    scale = float(books.scale)
    moved = sum((r.sum() for r in after.positions.values()), torch.zeros(()).double())
    assert abs(float(books.sources - kept.sources - moved)) <= 1e-12 * scale
    for kind, amount in kept.by_kind().items():
        left = books.by_kind().get(kind, torch.zeros(())) + (moved if kind == "constant" else 0)
        assert abs(float(left - amount)) <= 1e-12 * scale
    assert_books_balance(after)
    assert not before.positions
    return after


def tensors(structure: Any) -> list[Tensor]:
    return [t for t in (structure.values() if isinstance(structure, dict) else [structure]) if t is not None]


def test_positions_first() -> None:
    class SequenceFirst(Wrapped):
        def forward(self, x: Tensor) -> Tensor:
            h = x.transpose(0, 1)
            return super().forward((h + self.pe[: len(h)]).transpose(0, 1))

    model = prepare(SequenceFirst(lambda m, x: x, 5, 1, 4), seed=3)
    twin = prepare(Wrapped(lambda m, x: x + m.pe[:3, 0], 5, 1, 4), seed=3)
    r = assert_moves_from_constants(model, X, {"pe": (2, 3)}, target=1)
    assert_same_map(r.positions["pe"], lrp.explain(twin, X, target=1, positions=True).positions["pe"])


def test_one_token() -> None:
    model = prepare(Wrapped(lambda m, x: x[:, :1] + m.pe[:, :1], 1, 5, 4), seed=3)
    assert_moves_from_constants(model, X, {"pe": (2, 1)}, target=1)


def test_each_use_by_itself() -> None:
    def twice(m: Any, x: Tensor) -> Tensor:
        return F.gelu(x + m.pe) + m.pe

    model = prepare(Wrapped(twice, 1, 3, 4), seed=3)
    r = assert_moves_from_constants(model, X, {"pe#0": (2, 3), "pe#1": (2, 3)}, target=1)
    assert not torch.allclose(r.positions["pe#0"], r.positions["pe#1"])


IDS = torch.tensor([[3, 5, 7, 9, 11, 4], [2, 2, 6, 8, 1, 3]])
BERT = {"bert.embeddings.token_type_embeddings": (2, 6), "bert.embeddings.position_embeddings": (2, 6)}
MODELS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "BERT": (lambda: build("classifier")[0], 1, BERT),
    "GPT-2": (lambda: build("gpt2")[0], lrp.targets.Token(-1, 3), {"transformer.wpe": (2, 6)}),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("preset", [presets.attnlrp, presets.cp_lrp, presets.reslrp])
def test_language_models(name: str, preset: Any) -> None:
    make, target, shapes = MODELS[name]
    assert_moves_from_constants(make(), {"input_ids": IDS}, shapes, target=target, composite=preset())


def test_batch_is_singles() -> None:
    model = build("classifier")[0]
    r = lrp.explain(model, {"input_ids": IDS}, target=1, positions=True)
    singles = [lrp.explain(model, {"input_ids": IDS[i : i + 1]}, target=1, positions=True) for i in (0, 1)]
    for name, relevance in r.positions.items():
        assert_same_map(torch.cat([single.positions[name] for single in singles]), relevance)
        together = torch.cat([single.totals()[name].share for single in singles])
        assert_same_map(r.totals()[name].share, together)
    assert_same_map(sum(share.share for share in r.totals().values()), torch.ones(2).double())


def test_several_targets_and_a_file(tmp_path: Path) -> None:
    model = build("classifier")[0]
    given = {"input_ids": IDS}
    several = lrp.explain(model, given, target=lrp.targets.Several(0, 2), positions=True, ledger="calls")
    for k, (target, part) in enumerate(zip((0, 2), several.split(), strict=True)):
        alone = lrp.explain(model, given, target=target, positions=True)
        assert abs(float(part.ledger.residual)) <= 1e-12 * float(part.ledger.scale)
        for name, relevance in alone.positions.items():
            assert_same_map(part.positions[name], relevance)
            assert_same_map(several.positions[name][k], relevance)
            assert_same_map(several.totals()[name].share[k], alone.totals()[name].share)
    several.save(tmp_path / "r.safetensors")
    loaded = lrp.Relevance.load(tmp_path / "r.safetensors")
    assert list(loaded.positions) == list(several.positions)
    assert all(torch.equal(loaded.positions[name], r) for name, r in several.positions.items())
    assert str(loaded) == str(several)
    assert re.search(r"bert.embeddings.position_embeddings +tensor \(2, 2, 6\)", str(loaded))


@pytest.mark.parametrize("size", [12, 16])
def test_vision_transformer(size: int) -> None:
    torch.manual_seed(1)
    config = transformers.ViTConfig(
        **{"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24},
        **{"image_size": 12, "patch_size": 4, "initializer_range": 0.3},
    )
    model = transformers.ViTForImageClassification(config).eval().double()
    positions = model.vit.embeddings.position_embeddings
    with torch.no_grad():
        positions.normal_()
    given = {"pixel_values": signed(2, 3, size, size, seed=4), "interpolate_pos_encoding": size != 12}
    patches = (size // 4) ** 2 + 1
    assert_moves_from_constants(model, given, {"vit.embeddings.position_embeddings": (2, patches)}, target=1)


def test_plain_encoder_and_rotary_decoder() -> None:
    torch.manual_seed(2)
    given = {"x": signed(2, 4, 8, seed=5), "seen": torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]).bool()}
    encoder = Encoder(F.scaled_dot_product_attention).double().eval()
    r = assert_moves_from_constants(encoder, given, {"positions": (2, 4)}, target=1, sources=["x"])
    assert not r.positions["positions"][1, 2:].any()
    decoder = Decoder(F.scaled_dot_product_attention).double().eval()
    ids = {"input_ids": IDS[:, :4], "attention_mask": torch.ones(2, 4, dtype=torch.long)}
    r = assert_moves_from_constants(decoder, ids, {}, target=lrp.targets.Token(-1, 3))
    assert any("no positional embedding" in note for note in r.notes)


def test_positions_that_the_user_gives_are_an_input() -> None:
    model = build("gpt2")[0]
    places = torch.arange(6).expand(2, 6)
    target = lrp.targets.Token(-1, 3)
    own = lrp.explain(model, {"input_ids": IDS}, target=target, positions=True)
    r = lrp.explain(model, {"input_ids": IDS, "position_ids": places}, target=target, positions=True)
    assert not r.positions
    assert_same_map(r.input["position_ids"], own.positions["transformer.wpe"])
    assert_same_map(r.totals()["position_ids"].share, own.totals()["transformer.wpe"].share)
    unbatched = lrp.explain(model, {"input_ids": IDS, "position_ids": places[:1]}, target=target)
    assert_same_map(unbatched.input["position_ids"], r.input["position_ids"].sum(0, keepdim=True))
    with pytest.raises(InputError, match=r"position_ids.*\n.*\(1, 6\), 2 samples"):
        unbatched.totals()


def test_types_that_the_user_gives_and_embedded_inputs() -> None:
    model = build("classifier")[0]
    types = torch.tensor([[0, 0, 0, 1, 1, 1]]).expand(2, 6)
    given = {"input_ids": IDS, "token_type_ids": types}
    r = lrp.explain(model, given, target=1, positions=True)
    assert list(r.positions) == ["bert.embeddings.position_embeddings"]
    assert list(r.totals()) == ["input_ids", "token_type_ids", "bert.embeddings.position_embeddings"]
    tokens = lrp.explain(model, given, target=1, positions=True, sources=["input_ids"])
    assert_same_map(tokens.positions["bert.embeddings.token_type_embeddings"], r.input["token_type_ids"])
    vectors = model.bert.embeddings.word_embeddings(IDS).detach()
    embedded = {"inputs_embeds": vectors, "token_type_ids": types}
    given = lrp.explain(model, embedded, target=1, positions=True)
    assert_same_map(given.input["inputs_embeds"].sum(-1), r.input["input_ids"])
    assert_same_map(given.positions["bert.embeddings.position_embeddings"], r.positions[next(iter(r.positions))])


def test_a_recorded_block() -> None:
    model = TwoTokens().double()
    with lrp.record(positions=True) as tape:
        y = model(tape.source(torch.tensor([[0, 1]])))
    r = tape.relevance(y)
    assert r.positions["TwoTokens.tables.position"].tolist() == [[2, -4]]
    assert r.input.tolist() == [[4, 10]]


def test_a_text() -> None:
    model, tokenizer = build("classifier")
    r = lrp.explain_text(model, tokenizer, "Paris is the capital.", positions=True)
    plain = lrp.explain_text(model, tokenizer, "Paris is the capital.")
    assert r.tokens == plain.tokens
    assert {name: tuple(p.shape) for name, p in r.relevance.positions.items()} == dict.fromkeys(
        ("bert.embeddings.token_type_embeddings", "bert.embeddings.position_embeddings"), (1, len(r.tokens))
    )


def test_not_beside_a_reference() -> None:
    with pytest.raises(InputError, match="no difference comes from them"):
        lrp.explain(nn.Linear(4, 2), X, target=1, reference="zero", positions=True)
