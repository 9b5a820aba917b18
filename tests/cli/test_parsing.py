from pathlib import Path

import pytest

from lrp.cli.parse import kwargs_of, labels_of, layers_of, numbers_of, target_of
from lrp.errors import InputError, LoadError, LRPError, TargetError
from lrp.targets import Class, Difference, LogOdds, Several, Token, Top

LABELS = ("tench", "Tiger cat", "tabby", "crane", "crane")


def test_targets() -> None:
    assert target_of((), ()) is None
    assert target_of(("207",), ()) == 207
    assert target_of(("tiger CAT",), LABELS) == 1
    assert target_of(("top",), ()) == Top()
    assert target_of(("top:2",), ()) == Top(rank=2)
    assert target_of(("diff:1,0",), ()) == Difference(1, 0)
    assert target_of(("diff:tabby, tench",), LABELS) == Difference(2, 0)
    assert target_of(("logodds:tabby",), LABELS) == LogOdds(2)
    assert target_of(("token:-1",), ()) == Token(-1)
    assert target_of(("token:3=42",), ()) == Token(3, 42)


def test_several_targets_are_one() -> None:
    found = target_of(("207", "top:2", "logodds:tabby"), LABELS)
    assert isinstance(found, Several)
    assert found.targets == (Class(207), Top(2), LogOdds(2))


@pytest.mark.parametrize(
    ("texts", "words"),
    [
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
        (("1", "top:0"), "rank"),
        (("logodds:",), "unknown"),
        (("logodds:tabbi",), "one of 'tabby'"),
        (("logodds:1,2",), "a list is no target"),
        (("token:",), "whole numbers"),
        (("token:last",), "whole numbers"),
        (("token:-1=",), "whole numbers"),
        (("token:1=2=3",), "whole numbers"),
        (("",), "unknown"),
    ],
)
def test_words_that_are_no_target(texts: tuple[str, ...], words: str) -> None:
    with pytest.raises(TargetError, match=words):
        target_of(texts, LABELS)


def test_a_name_without_labels_says_how_to_give_them() -> None:
    with pytest.raises(TargetError, match="--labels"):
        target_of(("tabby",), ())


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
