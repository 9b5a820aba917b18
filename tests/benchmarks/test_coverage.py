"""What the sweep over other libraries' models does without them: configurations made small, weights, causes."""

import pytest
import torch
from torch import nn

from benchmarks.coverage.page import causes, page, record_of, summary
from benchmarks.coverage.shrink import LEVELS, shrunk
from benchmarks.coverage.subject import Subject, difference
from benchmarks.coverage.sweep import in_order
from benchmarks.coverage.untouched import differences, state
from benchmarks.coverage.weights import disturb

LLAMA = {
    "model_type": "llama",
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 2048,
    "eos_token_id": 2,
    "image_token_id": 31999,
    "rms_norm_eps": 1e-6,
}


def test_a_configuration_is_made_small_by_the_names_of_its_attributes():
    small = shrunk(LLAMA, LEVELS[0])
    assert small["hidden_size"] == small["num_attention_heads"] * small["head_dim"] == 32
    assert (small["num_hidden_layers"], small["num_key_value_heads"], small["intermediate_size"]) == (2, 2, 64)
    assert small["rms_norm_eps"] == 1e-6
    assert small["eos_token_id"] == 2
    assert small["image_token_id"] == small["vocab_size"] - 1  # of the vocabulary, and not among ordinary tokens
    kept = shrunk(LLAMA, LEVELS[1])
    assert (kept["hidden_size"], kept["num_hidden_layers"], kept["vocab_size"]) == (4096, 2, 128)
    assert shrunk(LLAMA, LEVELS[2]) == LLAMA | {"num_hidden_layers": 2}


def test_nested_configurations_are_made_small_and_each_kind_of_layer_stays():
    kinds = ["linear", "linear", "linear", "full"] * 8
    whole = {"model_type": "two", "text_config": LLAMA | {"layer_types": kinds}, "depths": [2, 2, 6, 2]}
    small = shrunk(whole, LEVELS[0])
    assert small["text_config"]["layer_types"] == ["linear", "full"]
    assert small["text_config"]["num_hidden_layers"] == 2
    assert small["depths"] == [1, 1, 1, 1]
    assert len(whole["text_config"]["layer_types"]) == 32


def test_nothing_is_left_at_its_neutral_value():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))
    nn.init.zeros_(model[2].weight)
    disturb(model)
    norm = model[1]
    for tensor, neutral in ((norm.weight, 1), (norm.running_var, 1), (norm.bias, 0), (norm.running_mean, 0)):
        assert not (tensor == neutral).any()
    assert (norm.running_var > 0).all()
    assert model[2].weight.std() > 0.1
    decays = torch.nn.Parameter(torch.linspace(-3, -1, 5))
    model.decays = decays
    before = decays.detach().clone()
    disturb(model)
    torch.testing.assert_close(decays.detach(), before)


def test_one_head_of_each_architecture_comes_first():
    keys = [f"transformers/{head}/{name}" for head in ("a", "b", "c") for name in ("x", "y", "z")]
    order = in_order(list(keys))
    assert sorted(order) == sorted(keys)
    assert {key.split("/")[2] for key in order[:3]} == {"x", "y", "z"}


def test_what_a_model_may_not_lose_by_being_explained_is_seen():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    before = state(model)
    assert differences(before, state(model)) == []
    model[1].running_mean += 1
    assert differences(before, state(model)) == ["value: 1.running_mean"]
    before = state(model)
    model[0].weight.requires_grad_(False)
    model[0].register_forward_hook(lambda *_: None)
    model[1].eval()
    model.note = 1
    assert differences(before, state(model)) == ["attributes: ", "flags: 0.weight", "hooks: 0", "training: 1"]


def test_a_model_runs_by_itself_on_two_samples_and_on_one():
    model, x = nn.Linear(3, 2).double(), torch.randn(4, 3, dtype=torch.float64)
    whole = Subject(model, x, 0, torch.float64)
    alone = [whole.sample(0), whole.sample(1)]
    assert torch.equal(alone[1].inputs, x[2:])  # two rows for each
    assert difference([torch.cat([one.run().value for one in alone])], [whole.run().value]) < 1e-15
    nn.init.zeros_(model.weight), nn.init.zeros_(model.bias)
    with pytest.raises(ArithmeticError, match="is 0"):
        whole.run()
    assert difference([x, x], [x, 1.1 * x]) == pytest.approx(0.1 / 1.1)
    assert difference([x], [x[1:]]) == float("inf")


def test_a_record_is_of_one_commit():
    results = {key: {"key": key, "status": "excluded", "reason": "none", "commit": key} for key in ("a", "b")}
    with pytest.raises(ValueError, match="a, b"):
        record_of(results)
    with pytest.raises(ValueError, match="a-dirty"):
        record_of({"a": results["a"] | {"commit": "a-dirty"}})


def test_failures_are_grouped_by_cause_and_silent_ones_come_first():
    uncovered = {
        "status": "failed",
        "error": "UncoveredError: 2 op calls on the way from target to source have no rule:",
        "message": "2 op calls ...\n    inv   layer.{}   a decomposition has no rule\n  cure:  none",
    }
    fine = {"status": "explained", "dtype": "float64", "residual": 1e-15, "batch_times": 3.0, "batch": 0.0}
    results = {
        "t/h/a": uncovered | {"message": uncovered["message"].format(0)},
        "t/h/b": uncovered | {"message": uncovered["message"].format(1)},
        "t/h/c": fine | {"status": "wrong", "wrong": ["nan", "batch"]},
        "t/h/d": fine,
        "t/h/f": {
            "status": "failed",
            "error": "UnseenError: part of the forward pass was not seen, so its rules are not in place",
            "message": "part ...\n  where: autograd nodes OwnBackward, which reads A; OwnBackward, which reads B",
        },
        "t/h/e": {"status": "excluded", "reason": "ImportError"},
    }
    assert list(causes(results).items()) == [
        ("silent: nan, batch", ["t/h/c"]),
        ("UncoveredError: inv: a decomposition has no rule", ["t/h/a", "t/h/b"]),
        ("UnseenError: OwnBackward", ["t/h/f"]),
    ]
    total = summary(list(results.values()))
    assert (total["models"], total["excluded"], total["ran"], total["explained"]) == (6, 1, 5, 1)
    assert total["share"] == 0.2
    assert total["wrong_in_silence"] == 1
    assert (total["batches"], total["time"]) == (1, 3.0)
    lines = page({"date": "today", "versions": {}, "commit": "c", "models": results})
    assert "- t, h: d" in lines
    assert (
        "A model is an architecture with a head: 1 of 5 architectures (20.0%) are explained with every head they have."
        in lines
    )
    assert "- ImportError: `t/h/e`" in lines
