"""Integer inputs: the vectors that tokens look up are the sources, and each token gets the relevance of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lrp
from lrp import on, presets, rules
from lrp.errors import InputError, ModelError
from tests.cases.networks import prepare, signed
from tests.ops.driving import assert_books_balance, assert_same_map

IDS = torch.tensor([[1, 2, 3, 0], [4, 4, 5, 6]])
TABLE, POSITIONS, HEAD = signed(10, 4, seed=1), signed(4, 4, seed=2), signed(3, 4, seed=3)


class Classifier(nn.Module):
    """Embedding, mean over the tokens that are there, linear."""

    def __init__(self) -> None:
        super().__init__()
        self.emb, self.out = nn.Embedding(10, 4, padding_idx=0), nn.Linear(4, 3)

    def forward(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        vectors = self.emb(ids)
        if mask is None:
            return self.out(vectors.mean(1))
        return self.out((vectors * mask[..., None]).sum(1) / mask.sum(1, keepdim=True))


MODEL = prepare(Classifier(), seed=4)


def of_vectors(vectors: Tensor, ids: Tensor, k: int = 1) -> Tensor:
    """What each token adds to output `k` of the mean of its vectors times the head."""
    return (vectors * HEAD[k] / ids.shape[1]).sum(-1)


def head(vectors: Tensor) -> Tensor:
    return F.linear(vectors.mean(1), HEAD)


def test_a_text_classifier_by_hand() -> None:
    r = lrp.explain(MODEL, IDS, target=1, keep=["emb"], ledger="calls")
    vectors, weight = MODEL.emb.weight.detach()[IDS], MODEL.out.weight.detach()[1]
    assert r.input.shape == IDS.shape
    assert_same_map(r.input, (vectors * weight / 4).sum(-1))
    assert_same_map(r["emb"], vectors * weight / 4)
    assert float(r.input.sum() + 2 * MODEL.out.bias[1].detach()) == pytest.approx(float(r.explained.sum()), rel=1e-12)
    assert_books_balance(r)
    assert [row.operation for row in r.plan if row.path != "(target)"] == ["mean", "linear"]
    assert MODEL.emb.weight.grad is None


def test_a_mask_that_is_not_looked_up_has_no_entry() -> None:
    mask = (IDS != 0).long()
    r = lrp.explain(MODEL, {"ids": IDS, "mask": mask}, target=1)
    assert r.input["mask"] is None
    weight, vectors = MODEL.out.weight.detach()[1], MODEL.emb.weight.detach()[IDS]
    truth = (vectors * weight).sum(-1) * mask / mask.sum(1, keepdim=True)
    assert_same_map(r.input["ids"], truth)
    assert_books_balance(r)


def in_place(ids: Tensor) -> Tensor:
    ids = ids.clone()
    ids += 1
    ids[:, 0] -= 1
    return F.embedding(ids, TABLE)


REMAP = torch.tensor([3, 2, 1, 0, 4, 5, 6, 7, 8, 9])
# Lookups of one vector for each token: (function of the ids, the ids that it reads).
LOOKUPS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "F.embedding": (lambda ids: F.embedding(ids, TABLE), lambda ids: ids),
    "torch.embedding": (lambda ids: torch.embedding(TABLE, ids), lambda ids: ids),
    "keywords": (lambda ids: F.embedding(weight=TABLE, input=ids), lambda ids: ids),
    "table[ids]": (lambda ids: TABLE[ids], lambda ids: ids),
    "table[ids, :]": (lambda ids: TABLE[ids, :], lambda ids: ids),
    "table.T[:, ids]": (lambda ids: TABLE.T[:, ids].movedim(0, 2), lambda ids: ids),
    "index_select": (lambda ids: TABLE.index_select(0, ids.flatten()).view(2, 4, 4), lambda ids: ids),
    "index_select-axis": (lambda ids: torch.index_select(TABLE.T, 1, ids.view(-1)).T.view(2, 4, 4), lambda ids: ids),
    "gather": (
        lambda ids: TABLE.gather(0, ids.flatten()[:, None].expand(8, 4)).view(2, 4, 4),
        lambda ids: ids,
    ),
    "frozen": (lambda ids: _no_grad(lambda: F.embedding(ids, TABLE)), lambda ids: ids),
    "sparse-and-scaled": (
        lambda ids: F.embedding(ids, nn.Parameter(TABLE), scale_grad_by_freq=True, sparse=True),
        lambda ids: ids,
    ),
    "offset": (lambda ids: F.embedding(ids + torch.arange(4), TABLE), lambda ids: ids + torch.arange(4)),
    "number": (
        lambda ids: F.embedding(1 + 2 * ids - ids.sign() * 0, TABLE.repeat(2, 1)),
        lambda ids: (1 + 2 * ids) % 10,
    ),
    "clamped": (lambda ids: F.embedding(ids.clamp(min=2, max=4), TABLE), lambda ids: ids.clamp(2, 4)),
    "cast": (lambda ids: F.embedding(ids.int().to(torch.int64).detach(), TABLE), lambda ids: ids),
    "masked": (lambda ids: F.embedding(ids * (ids != 4), TABLE), lambda ids: ids * (ids != 4)),
    "remapped": (lambda ids: F.embedding(REMAP[ids], TABLE), lambda ids: REMAP[ids]),
    "in-place": (in_place, lambda ids: ids + torch.tensor([0, 1, 1, 1])),
    "moved": (lambda ids: F.embedding(ids.T.contiguous(), TABLE).transpose(0, 1), lambda ids: ids),
    "one-by-one": (lambda ids: torch.stack([F.embedding(i, TABLE) for i in ids.T], 1), lambda ids: ids),
    "column-by-column": (lambda ids: torch.stack([TABLE[ids[:, t]] for t in range(4)], 1), lambda ids: ids),
    "in-parts": (lambda ids: torch.cat([F.embedding(part, TABLE) for part in ids.chunk(2, 1)], 1), lambda ids: ids),
}


def _no_grad(function: Callable[[], Tensor]) -> Tensor:
    with torch.no_grad():
        return function()


@pytest.mark.parametrize("level", ["sinks", "calls"])
@pytest.mark.parametrize("name", LOOKUPS)
def test_each_token_gets_the_relevance_of_its_vector(name: str, level: Any) -> None:
    look_up, read = LOOKUPS[name]
    before = IDS.clone()
    r = lrp.explain(lambda ids: head(look_up(ids)), IDS, target=1, ledger=level)
    assert_same_map(r.input, of_vectors(TABLE[read(IDS)], IDS))
    assert_books_balance(r)
    assert torch.equal(IDS, before)


def replaced_in_place(ids: Tensor) -> Tensor:
    ids = ids.clone()
    ids[ids == 4] = 7
    return ids


def row_filled(ids: Tensor) -> Tensor:
    ids = ids.clone()
    ids[:, 1].fill_(8)
    return ids


def written_into_a_buffer(ids: Tensor) -> Tensor:
    buffer = torch.zeros(2, 4, dtype=torch.long)
    buffer[:, 1:] = ids[:, :3]
    return buffer


def copied_into_a_buffer(ids: Tensor) -> Tensor:
    buffer = torch.zeros(2, 4, dtype=torch.long)
    buffer[:, 1:].copy_(ids[:, :3])
    return buffer


# Ids of which some are the model's own: (function of the ids, True where an integer is still the input's, and whose).
REPLACED: dict[str, tuple[Callable[[Tensor], Tensor], Tensor]] = {
    "cat": (lambda ids: torch.cat([torch.full((2, 1), 9), ids[:, :3]], 1), torch.tensor([-1, 0, 1, 2]).expand(2, 4)),
    "pad": (lambda ids: F.pad(ids[:, 1:], (0, 1), value=9), torch.tensor([1, 2, 3, -1]).expand(2, 4)),
    "where": (lambda ids: torch.where(ids == 4, 9, ids), torch.tensor([[0, 1, 2, 3], [-1, -1, 2, 3]])),
    "masked_fill": (lambda ids: ids.masked_fill(ids == 4, 9), torch.tensor([[0, 1, 2, 3], [-1, -1, 2, 3]])),
    "setitem": (replaced_in_place, torch.tensor([[0, 1, 2, 3], [-1, -1, 2, 3]])),
    "fill_": (row_filled, torch.tensor([0, -1, 2, 3]).expand(2, 4)),
    "buffer": (written_into_a_buffer, torch.tensor([-1, 0, 1, 2]).expand(2, 4)),
    "buffer-copy": (copied_into_a_buffer, torch.tensor([-1, 0, 1, 2]).expand(2, 4)),
    "flipped": (lambda ids: ids.flip(1), torch.tensor([3, 2, 1, 0]).expand(2, 4)),
    "shifted": (lambda ids: ids.roll(1, 1), torch.tensor([3, 0, 1, 2]).expand(2, 4)),
    "gathered": (lambda ids: ids[:, torch.tensor([2, 2, 0, 1])], torch.tensor([2, 2, 0, 1]).expand(2, 4)),
    "twice": (lambda ids: ids.repeat(1, 2)[:, :6], torch.tensor([0, 1, 2, 3, 0, 1]).expand(2, 6)),
}


@pytest.mark.parametrize("name", REPLACED)
def test_tokens_of_the_models_own_get_nothing(name: str) -> None:
    change, places = REPLACED[name]
    ids = change(IDS.clone())
    r = lrp.explain(lambda ids: head(F.embedding(change(ids), TABLE)), IDS, target=1)
    parts = of_vectors(TABLE[ids], ids)
    truth = torch.zeros(2, 4, dtype=torch.float64)
    for row in range(2):
        for column, place in enumerate(places[row].tolist()):
            if place >= 0:
                truth[row, place] += parts[row, column]
    assert_same_map(r.input, truth)
    assert r.ledger.sources == pytest.approx(float(parts.sum()), rel=1e-12)


def test_what_several_tables_give_adds_up_and_positions_are_constants() -> None:
    second = signed(10, 4, seed=5)

    def model(ids: Tensor) -> Tensor:
        steps = torch.arange(ids.shape[1])
        return head(F.embedding(ids, TABLE) + F.embedding(ids, second) + F.embedding(steps, POSITIONS))

    r = lrp.explain(model, IDS, target=1, ledger="calls")
    assert_same_map(r.input, of_vectors(TABLE[IDS] + second[IDS], IDS))
    (row,) = r.ledger.rows
    assert row.kind == "constant"
    assert float(row.amount) == pytest.approx(2 * float(of_vectors(POSITIONS, IDS).sum()), rel=1e-12)
    assert_books_balance(r)


def test_vectors_of_positions_and_types_are_constants_of_their_modules() -> None:
    class Embeddings(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.types, self.places = nn.Embedding(10, 4), nn.Embedding(2, 4), nn.Embedding(4, 4)
            self.dropped = nn.Sequential(self.places, nn.Identity())

        def forward(self, ids: Tensor, types: Tensor) -> Tensor:
            return head(self.words(ids) + self.types(types) + self.dropped(torch.arange(4)) + POSITIONS)

    model, types = prepare(Embeddings(), seed=14), torch.tensor([[0, 0, 1, 1], [0, 1, 1, 1]])
    r = lrp.explain(model, {"ids": IDS, "types": types}, target=1, sources=["ids"])
    kept = {row.where: float(row.amount) for row in r.ledger.rows if row.kind == "constant"}
    assert kept.keys() == {"types", "places", ""}
    for name, vectors in (("types", model.types.weight[types]), ("places", model.places.weight), ("", POSITIONS)):
        truth = of_vectors(vectors.detach().expand(2, 4, 4), IDS).sum()
        assert kept[name] == pytest.approx(float(truth), rel=1e-12)
    assert_books_balance(r)


def test_positions_counted_from_the_ids_are_constants() -> None:
    """RoBERTa counts the tokens before each; the count comes from several of them."""

    def model(ids: Tensor) -> Tensor:
        mask = ids.ne(0).int()
        steps = (torch.cumsum(mask, 1).type_as(mask) * mask).long()
        steps = steps + mask * torch.cumsum(mask, 1) - mask * torch.cumsum(mask, 1)
        return head(F.embedding(ids, TABLE) + F.embedding(steps, TABLE))

    r = lrp.explain(model, IDS, target=1)
    assert_same_map(r.input, of_vectors(TABLE[IDS], IDS))
    assert {row.kind for row in r.ledger.rows} == {"constant"}
    assert_books_balance(r)


def test_inputs_of_several_kinds() -> None:
    kinds, values = torch.tensor([[0, 0, 1, 1], [1, 0, 1, 0]]), signed(2, 4, 4, seed=6)

    def model(ids: Tensor, kinds: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        return head((F.embedding(ids, TABLE) + F.embedding(kinds, POSITIONS) + values).masked_fill(mask[..., None], 0))

    mask = torch.zeros(2, 4, dtype=torch.bool)
    inputs = {"ids": IDS, "mask": mask, "values": values, "kinds": kinds}
    r = lrp.explain(model, inputs, target=1)
    assert_same_map(r.input["ids"], of_vectors(TABLE[IDS], IDS))
    assert_same_map(r.input["kinds"], of_vectors(POSITIONS[kinds], IDS))
    assert_same_map(r.input["values"], values * HEAD[1] / 4)
    assert r.input["mask"] is None
    assert_books_balance(r)

    r = lrp.explain(model, inputs, target=1, sources=["ids"])
    assert [name for name, relevance in r.input.items() if relevance is not None] == ["ids"]
    assert_same_map(r.input["ids"], of_vectors(TABLE[IDS], IDS))
    assert_books_balance(r)


def test_rules_at_a_source_reach_the_tokens() -> None:
    ids = IDS[:, :2]
    weight = signed(3, 8, seed=7)

    def model(ids: Tensor) -> Tensor:
        return F.linear(F.embedding(ids, TABLE).flatten(1), weight)

    entries = [(on.first & on.linear, rules.Flat(0.0))]
    r = lrp.explain(model, ids, target=1, composite=lrp.Composite(entries))
    assert_same_map(r.input, (model(ids)[:, 1:2] / 2).expand(2, 2))
    assert_books_balance(r)


BAGS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda ids: F.embedding_bag(ids, TABLE),
    "sum": lambda ids: F.embedding_bag(ids, TABLE, mode="sum"),
    "max": lambda ids: F.embedding_bag(ids, TABLE, mode="max"),
    "padding": lambda ids: F.embedding_bag(ids, TABLE, mode="mean", padding_idx=4),
    "padding-max": lambda ids: F.embedding_bag(ids, TABLE, mode="max", padding_idx=-6),
    "weights": lambda ids: F.embedding_bag(ids, TABLE, mode="sum", per_sample_weights=POSITIONS[:2]),
    "offsets": lambda ids: F.embedding_bag(ids.flatten(), TABLE, torch.tensor([0, 3, 3, 5]), mode="mean"),
    "offsets-max": lambda ids: F.embedding_bag(ids.flatten(), TABLE, torch.tensor([0, 3, 3]), mode="max"),
    "last-offset": lambda ids: F.embedding_bag(
        *(ids.flatten(), TABLE, torch.tensor([0, 2, 8])), mode="sum", include_last_offset=True
    ),
    "offsets-weights": lambda ids: F.embedding_bag(
        *(ids.flatten(), TABLE, torch.tensor([0, 5])), mode="sum", per_sample_weights=POSITIONS[:2].flatten()
    ),
    "module": lambda ids: _bag(ids),
}
_bag = prepare(nn.EmbeddingBag(10, 4, mode="mean"), seed=8)


@pytest.mark.parametrize("level", ["sinks", "calls"])
@pytest.mark.parametrize("name", BAGS)
def test_bags(name: str, level: Any) -> None:
    """Autograd says what each row of the table gets: what all tokens that look it up get."""
    bag = BAGS[name]
    z = bag(IDS).detach()
    r = lrp.explain(lambda ids: F.linear(bag(ids), HEAD), IDS, target=1, ledger=level)
    assert torch.equal(r.output, F.linear(z, HEAD))
    assert float(r.input.sum()) == pytest.approx(float(r.explained.sum()), rel=1e-12)
    assert_books_balance(r)
    for token in IDS.unique().tolist():
        without = _without(bag, token)
        assert float(r.input[token == IDS].sum()) == pytest.approx(without, rel=1e-11, abs=1e-13)


def _without(bag: Callable[[Tensor], Tensor], token: int) -> float:
    """Gradient times value of one row of the table, over all bags."""
    table = (_bag.weight if bag is BAGS["module"] else TABLE).detach()
    point = table.clone().requires_grad_()
    if bag is BAGS["module"]:
        z = F.embedding_bag(IDS, point, mode="mean")
    else:
        z = _on(bag, point)
    (gradient,) = torch.autograd.grad(F.linear(z, HEAD)[:, 1].sum(), point)
    return float((gradient * table)[token].sum())


def _on(bag: Callable[[Tensor], Tensor], table: Tensor) -> Tensor:
    """The same bag on another table."""
    saved = globals()["TABLE"]
    globals()["TABLE"] = table
    try:
        return bag(IDS)
    finally:
        globals()["TABLE"] = saved


def test_weights_of_a_bag_that_are_data_are_a_factor() -> None:
    weights = signed(2, 4, seed=9)

    def model(ids: Tensor, weights: Tensor) -> Tensor:
        return F.linear(F.embedding_bag(ids, TABLE, mode="sum", per_sample_weights=weights), HEAD)

    r = lrp.explain(model, (IDS, weights), target=1, ledger="calls")
    parts = (TABLE[IDS] * HEAD[1]).sum(-1) * weights / 2
    assert_same_map(r.input[0], parts)
    assert_same_map(r.input[1], parts)
    assert_books_balance(r)


def test_max_norm_leaves_the_models_table_alone() -> None:
    for module in (nn.Embedding(10, 4, max_norm=0.5), nn.EmbeddingBag(10, 4, max_norm=0.5, mode="sum")):
        prepare(module, seed=10)
        before = module.weight.detach().clone()
        small = before * (0.5 / (before.norm(dim=1, keepdim=True) + 1e-7)).clamp(max=1)

        def model(ids: Tensor, module: nn.Module = module) -> Tensor:
            return F.linear(module(ids).reshape(2, -1, 4).sum(1), HEAD)

        r = lrp.explain(model, IDS, target=1)
        assert torch.equal(module.weight, before)
        assert_same_map(r.input, (small[IDS] * HEAD[1]).sum(-1))
        assert_books_balance(r)


def test_max_norm_on_a_table_of_data_is_refused() -> None:
    with pytest.raises(ModelError, match="max_norm"):
        lrp.explain(lambda table: F.embedding(IDS, table, max_norm=1.0).sum((1, 2)), TABLE)


def test_a_table_of_data_is_a_source_of_its_own() -> None:
    r = lrp.explain(lambda ids, table: head(F.embedding(ids, table)), (IDS, TABLE), target=1)
    assert r.input[0] is None
    truth = torch.zeros_like(TABLE).index_add(0, IDS.flatten(), (TABLE[IDS] * HEAD[1] / 4).flatten(0, 1))
    assert_same_map(r.input[1], truth)
    assert_books_balance(r)


def test_several_samples_have_books_of_their_own() -> None:
    r = lrp.explain(MODEL, IDS, target=1)
    single = lrp.explain(MODEL, IDS[1:], target=1)
    books = r.ledger.by_sample()
    assert_same_map(r.input[1:], single.input)
    assert float(books.sources[1]) == pytest.approx(float(single.input.sum()), rel=1e-12)


def test_recorded_tokens() -> None:
    with lrp.record() as tape:
        ids, values = tape.source(IDS), tape.source(POSITIONS)
        y = head(F.embedding(ids, TABLE) * values)
    r = tape.relevance(y[:, 1])
    parts = TABLE[IDS] * POSITIONS * HEAD[1] / 4 / 2
    assert_same_map(r.input[0], parts.sum(-1))
    assert_same_map(r.input[1], parts.sum(0))


def test_words_that_are_no_source() -> None:
    with pytest.raises(InputError, match="looked up in an embedding"):
        lrp.explain(lambda ids: F.one_hot(ids, 10).double().mean(1) @ TABLE @ HEAD.T, IDS, target=1)
    with pytest.raises(InputError, match="'mask' is no floating tensor, and nothing on the way was looked up by it"):
        lrp.explain(MODEL, {"ids": IDS, "mask": (IDS > 0).long()}, target=1, sources=["ids", "mask"])
    with pytest.raises(InputError, match="below the size of their embedding") as caught:
        lrp.explain(MODEL, IDS + 8, target=1)
    assert "emb" in str(caught.value)


def test_an_input_rule_on_a_hidden_call_reaches_the_tokens() -> None:
    """Flat on both layers: the hidden one shares evenly, and so does the first with the axes of each vector."""
    first, second = signed(5, 16, seed=12), signed(2, 5, seed=13)

    def model(ids: Tensor) -> Tensor:
        return F.linear(F.linear(F.embedding(ids, TABLE).flatten(1), first), second)

    r = lrp.explain(model, IDS, target=1, composite=lrp.Composite([(on.linear, rules.Flat(0.0))]))
    assert_same_map(r.input, (model(IDS)[:, 1:2] / 4).expand(2, 4))
    assert_books_balance(r)


@pytest.mark.parametrize("preset", [presets.zero, presets.epsilon, presets.epsilon_plus])
def test_a_deeper_classifier_balances(preset: Callable[[], lrp.Composite]) -> None:
    model = prepare(nn.Sequential(Classifier(), nn.ReLU(), nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)), seed=11)
    r = lrp.explain(model, IDS, target=0, composite=preset(), ledger="calls")
    assert_books_balance(r)
    assert r.input.shape == IDS.shape
    assert [len(top) for top in r.top(2)] == [2, 2]
