from pathlib import Path

import pytest

from lrp.cli.parse import composite_of, kwargs_of, labels_of, layers_of, numbers_of, target_of
from lrp.errors import CompositeError, InputError, LoadError, LRPError, TargetError
from lrp.targets import Difference, Top

LABELS = ("tench", "Tiger cat", "tabby", "crane", "crane")


def test_targets() -> None:
    assert target_of((), ()) is None
    assert target_of(("207",), ()) == 207
    assert target_of(("tiger CAT",), LABELS) == 1
    assert target_of(("top",), ()) == Top()
    assert target_of(("top:2",), ()) == Top(rank=2)
    assert target_of(("diff:1,0",), ()) == Difference(1, 0)
    assert target_of(("diff:tabby, tench",), LABELS) == Difference(2, 0)


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (("1", "2"), "several targets"),
        (("[1, 2]",), "a list is no target"),
        (("1,2",), "a list is no target"),
        (("(1,)",), "a list is no target"),
        (("tabbi",), "one of 'tabby'"),
        (("crane",), "several classes"),
        (("top:0",), "rank"),
        (("top:x",), "rank"),
        (("diff:1",), "two classes"),
        (("diff:1,2,3",), "two classes"),
        (("diff:1,tabbi",), "one of 'tabby'"),
        (("",), "unknown"),
    ],
)
def test_words_that_are_no_target(texts: tuple[str, ...], words: str) -> None:
    with pytest.raises(TargetError, match=words):
        target_of(texts, LABELS)


def test_a_name_without_labels_says_how_to_give_them() -> None:
    with pytest.raises(TargetError, match="--labels"):
        target_of(("tabby",), ())


def test_composites() -> None:
    assert composite_of(None) is None
    assert composite_of("auto") is None
    for name in ("zero", "epsilon", "epsilon_plus", "epsilon_plus_flat"):
        made = composite_of(name)
        assert made is not None
        assert made.name == name
    assert "0.25" in repr(composite_of("epsilon:epsilon=0.25").entries)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("epsilom", "one of 'epsilon'"),
        ("epsilon:eps=1e-6", "eps"),
        ("epsilon:1e-6", "name=number"),
        ("epsilon:epsilon=small", "name=number"),
        ("epsilon:", "name=number"),
        ("auto:epsilon=1", "no arguments"),
        ("__all__", "no such preset"),
    ],
)
def test_words_that_are_no_composite(text: str, words: str) -> None:
    with pytest.raises(CompositeError, match=words):
        composite_of(text)


def test_layers_numbers_arguments_labels(tmp_path: Path) -> None:
    assert layers_of(("fc1", "fc2*")) == ["fc1", "fc2*"]
    assert layers_of(("fc1", "all")) == "all"
    assert layers_of(()) == []
    assert numbers_of("0.485,0.456,0.406", "--mean") == (0.485, 0.456, 0.406)
    assert kwargs_of('{"a": [1]}') == {"a": [1]}
    assert kwargs_of(None) == {}
    (tmp_path / "labels.txt").write_text("tench\n\ncrane \n\n")
    assert labels_of(str(tmp_path / "labels.txt")) == ("tench", "", "crane")


def test_broken_words(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--mean needs numbers"):
        numbers_of("a,b,c", "--mean")
    for text in ("{", "[1]", "3"):
        with pytest.raises(LoadError, match="no JSON"):
            kwargs_of(text)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name in ("binary", "absent"):
        with pytest.raises(LRPError, match="labels cannot be read"):
            labels_of(str(tmp_path / name))
