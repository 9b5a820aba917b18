"""`--composite` and `lrp composites`."""

from collections.abc import Callable

import pytest
from click.testing import Result

from lrp import presets
from lrp.cli.composite import composite_of, preset_of
from lrp.errors import CompositeError

Cli = Callable[..., Result]

NAMED = [name for name in presets.__all__ if name != "auto"]


def test_no_composite_and_auto_are_left_to_explain() -> None:
    assert composite_of(None) is None
    assert composite_of("auto") is None


@pytest.mark.parametrize("name", NAMED)
def test_every_preset_has_its_name(name: str) -> None:
    bounds = {"low": -2, "high": 2} if name == "epsilon_gamma_box" else {}
    made = composite_of(f"{name}:low=-2,high=2" if bounds else name)
    assert str(made) == str(getattr(presets, name)(**bounds))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("epsilon:epsilon=0.25", presets.epsilon(0.25)),
        ("epsilon_plus: epsilon=1e-3, stabiliser=1e-9", presets.epsilon_plus(1e-3, 1e-9)),
        ("epsilon_plus_flat:stabiliser=0", presets.epsilon_plus_flat(stabiliser=0)),
        (
            "epsilon_gamma_box:low=-2.1/-2.0/-1.8,high=2,gamma=0.5",
            presets.epsilon_gamma_box((-2.1, -2.0, -1.8), 2, gamma=0.5),
        ),
        ("epsilon_alpha2_beta1:epsilon=1e-9", presets.epsilon_alpha2_beta1(1e-9)),
        ("epsilon_alpha2_beta1_flat:stabiliser=1e-9", presets.epsilon_alpha2_beta1_flat(stabiliser=1e-9)),
        ("excitation_backprop:stabiliser=1e-9", presets.excitation_backprop(1e-9)),
    ],
)
def test_arguments_of_presets(text: str, expected: object) -> None:
    assert str(composite_of(text)) == str(expected)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("epsilom", "one of 'epsilon'"),
        ("epsilon:eps=1e-6", "no argument 'eps'"),
        ("epsilon:1e-6", "name=number"),
        ("epsilon:epsilon=small", "name=number"),
        ("epsilon:epsilon=nan", "name=number"),
        ("epsilon:epsilon=inf", "name=number"),
        ("epsilon:", "name=number"),
        ("epsilon:epsilon=1,epsilon=2", "given twice"),
        ("epsilon:epsilon=1/2", "one number"),
        ("epsilon:epsilon=-1", "at least 0"),
        ("epsilon_gamma_box", "needs low and high"),
        ("epsilon_gamma_box:low=0", "needs high"),
        ("epsilon_gamma_box:low=0,high=1/2/", "name=number"),
        ("epsilon_gamma_box:low=0,1,2,high=3", "name=number"),
        ("epsilon_gamma_box:low=1,high=0", "each low at most its high"),
        ("auto:epsilon=1", "no arguments"),
        ("zero:epsilon=1", "no arguments"),
        ("__all__", "no such preset"),
    ],
)
def test_words_that_are_no_composite(text: str, words: str) -> None:
    with pytest.raises(CompositeError, match=words) as caught:
        composite_of(text)
    assert caught.value.where == "--composite"
    assert caught.value.seen
    assert caught.value.cure


@pytest.mark.parametrize("name", NAMED)
def test_every_preset_says_when_to_use_it_and_where_it_is_from(name: str) -> None:
    preset = preset_of(name)
    assert preset.summary
    assert preset.use.startswith(("for ", "where ", "as "))
    assert "20" in preset.source  # a year
    assert preset.table[-1].startswith("  (others)")


def test_the_list_shows_every_preset(lrp_cli: Cli) -> None:
    listed = lrp_cli("composites")
    assert listed.exit_code == 0
    parts = listed.stdout.rstrip().split("\n\n")
    assert len(parts) == len(presets.__all__)
    assert parts[0].startswith("auto   (the default)\n")
    assert "Attention -> `attnlrp`; else a selective scan -> `mamba_lrp`;" in parts[0]
    for name, part in zip(sorted(NAMED), parts[1:], strict=True):
        assert part.partition("\n")[0].partition(":")[0] == name
        made = composite_of(f"{name}:low=0,high=1" if name == "epsilon_gamma_box" else name)
        table = [line for line in part.splitlines() if line.startswith("    ")]
        assert [line.strip() for line in str(made).splitlines()[1:]] == [
            line.strip() for line in table[-len(str(made).splitlines()) + 1 :]
        ]
        assert "  use     " in part
        assert "  source  " in part
    assert max(map(len, listed.stdout.splitlines())) <= 120


def test_one_preset_says_what_its_arguments_mean(lrp_cli: Cli) -> None:
    shown = lrp_cli("composites", "epsilon_gamma_box").stdout
    assert shown.startswith("epsilon_gamma_box:low=LOW,high=HIGH,epsilon=1e-06,gamma=0.25,stabiliser=1e-06\n")
    for words in ("gamma: how much", "low, high: bounds", "low=-2.1/-2.0/-1.8", "zennit's is by registration order"):
        assert words in shown
    assert "one for each channel" not in lrp_cli("composites", "epsilon").stdout
    assert lrp_cli("composites", "auto").stdout.startswith("auto   (the default)\n")


def test_a_preset_that_is_not_known(lrp_cli: Cli) -> None:
    result = lrp_cli("composites", "epsilon_gama_box")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "one of 'epsilon_gamma_box'" in result.stderr
