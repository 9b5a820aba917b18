"""Folders of transformers: safetensors alone, whole models alone, no code of theirs."""

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from lrp.errors import LoadError, MissingExtraError
from lrp.models import load_pretrained, load_tokenizer
from tests.cases.texts import build


@cache
def bert() -> tuple[Any, Any]:
    """One of each: a tokenizer that is trained again numbers its tokens otherwise."""
    model, tokenizer = build("classifier")
    return model.float(), tokenizer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model, tokenizer = bert()
    model.save_pretrained(tmp_path / "bert")
    tokenizer.save_pretrained(tmp_path / "bert")
    return tmp_path / "bert"


def changed(folder: Path, **keys: Any) -> Path:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **keys}))
    return folder


def test_the_model_and_its_tokenizer(folder: Path) -> None:
    model, tokenizer = bert()
    given = tokenizer("Unhappily, other things are lost.", return_tensors="pt")
    loaded, again = load_pretrained(folder), load_tokenizer(folder)
    assert not loaded.training
    with torch.no_grad():
        torch.testing.assert_close(loaded(**given).logits, model(**given).logits)
    assert again("lost things")["input_ids"] == tokenizer("lost things")["input_ids"]
    assert load_tokenizer(folder / "tokenizer.json")("lost")["input_ids"] == tokenizer("lost")["input_ids"]


def test_a_model_of_half_the_bits_is_loaded_in_float32(folder: Path) -> None:
    build("classifier")[0].half().save_pretrained(folder)
    assert next(load_pretrained(folder).parameters()).dtype == torch.float32


def test_missing_weights_are_not_made_up(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    (name,) = (name for name in weights if name.endswith("classifier.weight"))
    save_file({key: value for key, value in weights.items() if key != name}, folder / "model.safetensors")
    with pytest.raises(LoadError, match=name):
        load_pretrained(folder)


def test_a_pickle_is_not_read(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(LoadError, match="safetensors"):
        load_pretrained(folder)


def test_code_in_the_folder_is_not_run(folder: Path, tmp_path: Path) -> None:
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Own: ...\n")
    with pytest.raises(LoadError, match="code of its own"):
        load_pretrained(changed(folder, auto_map={"AutoModelForSequenceClassification": "own.Own"}))
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    tokenizer |= {"auto_map": {"AutoTokenizer": ["own.Own", None]}, "tokenizer_class": "Own"}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    load_tokenizer(folder)  # tokenizer.json alone
    assert not (tmp_path / "ran").exists()


def test_folders_that_are_none(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"no config\.json"):
        load_pretrained("bert-base-uncased")  # a name of the hub is no folder
    with pytest.raises(LoadError, match="BertForNothing"):
        load_pretrained(changed(folder, architectures=["BertForNothing"]))
    with pytest.raises(LoadError, match="no such model"):
        load_pretrained(changed(folder, architectures=["BertConfig"]))
    with pytest.raises(LoadError, match="no such model"):
        load_pretrained(changed(folder, architectures=None))
    (folder / "config.json").write_text("{")
    with pytest.raises(LoadError, match=r"no config\.json"):
        load_pretrained(folder)
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(LoadError, match="no tokenizer"):
            load_tokenizer(path)


def test_without_transformers_the_error_names_the_pip_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    for load in (load_pretrained, load_tokenizer):
        with pytest.raises(MissingExtraError, match=r'pip install "lrp\[hf\]"'):
            load(folder)
