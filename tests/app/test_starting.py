"""`lrp app` before it serves."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import lrp.app
from lrp.cli import main
from tests.app.serving import MODELS


@pytest.fixture
def nets(tmp_path: Path) -> str:
    (tmp_path / "nets.py").write_text(MODELS)
    return str(tmp_path / "nets.py")


@pytest.fixture
def choices(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What would be served."""
    found: list[Any] = []
    monkeypatch.setattr(lrp.app, "serve", lambda choices, words, **options: found.extend(choices))
    return found


def run(*words: str) -> Result:
    return CliRunner().invoke(main, ["app", *words])


def test_models_have_names_of_their_own_and_no_folders(nets: str, choices: list[Any]) -> None:
    assert run(f"{nets}:Net", f"{nets}:Table", f"{nets}:Net").exit_code == 0
    assert [choice.name for choice in choices] == ["nets.py:Net", "nets.py:Table", "nets.py:Net #2"]


def test_weights_go_to_models_in_their_order(nets: str, tmp_path: Path, choices: list[Any]) -> None:
    import torch

    from lrp.models import load_model

    model = load_model(f"{nets}:Table")
    torch.save({name: torch.full_like(value, 7) for name, value in model.state_dict().items()}, tmp_path / "w.pth")
    assert run(f"{nets}:Net", f"{nets}:Table", "--weights", "-", "--weights", str(tmp_path / "w.pth")).exit_code == 0
    assert [choice.name for choice in choices] == ["nets.py:Net", "nets.py:Table, w.pth"]
    assert choices[1].model[0].bias.min().item() == 7
    assert choices[0].model[0].bias.max().item() < 7


def test_a_model_brings_its_tokenizer(tmp_path: Path, choices: list[Any]) -> None:
    (tmp_path / "reader.py").write_text(
        "from tests.cases.texts import build\n"
        "def reader():\n    model, tokenizer = build('classifier')\n    model.tokenizer = tokenizer\n    return model\n"
    )
    assert run(f"{tmp_path / 'reader.py'}:reader").exit_code == 0
    assert choices[0].tokenizer("The capital")["input_ids"]


def test_a_folder_of_transformers_brings_its_tokenizer_and_names(tmp_path: Path, choices: list[Any]) -> None:
    from tests.cases.texts import build

    model, tokenizer = build("classifier")
    model.float().save_pretrained(tmp_path / "reader")
    assert run(f"hf:{tmp_path / 'reader'}").exit_code == 0
    tokenizer.save_pretrained(tmp_path / "reader")
    assert run(f"hf:{tmp_path / 'reader'}").exit_code == 0
    without, choice = choices
    assert without.tokenizer is None
    assert choice.tokenizer("The capital")["input_ids"] == tokenizer("The capital")["input_ids"]
    assert choice.labels == tuple(model.config.id2label[k] for k in range(len(model.config.id2label)))


def test_weights_are_for_all_models_or_none(nets: str, choices: list[Any]) -> None:
    result = run(f"{nets}:Net", f"{nets}:Table", "--weights", "w.pth")
    assert result.exit_code == 2
    assert "1 --weights for 2 models" in result.output
    assert not choices


def test_the_demo_has_photographs(choices: list[Any]) -> None:
    assert run().exit_code == 0
    (choice,) = choices
    assert choice.examples[0] == "chelsea"
    assert choice.read("chelsea").values.shape == (1, 3, 224, 224)


def test_without_gradio_the_pip_line_is_told(nets: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    result = run(f"{nets}:Net")
    assert result.exit_code == 2
    assert 'pip install "lrp[app]"' in result.output


def test_a_port_that_is_taken(nets: str) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(lrp.errors.InputError, match="the port cannot be used"):
            lrp.app.server.bound(other.getsockname()[1])
