"""Models and tokenizers of transformers from a folder (extra ``hf``): safetensors, no downloads, no foreign code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lrp.errors import LoadError
from lrp.extras import imported
from lrp.models.weights import listed

__all__ = ["MARK", "load_pretrained", "load_tokenizer"]

MARK = "hf:"
"""What a model's name begins with when it is such a folder: ``hf:./my-bert``."""


def load_pretrained(folder: str | Path) -> nn.Module:
    """Return the model of a folder that `save_pretrained` wrote, in float32 and eval mode.

    Its class is the first of ``architectures`` in config.json. Nothing is downloaded, only safetensors are read, and
    code inside the folder is not run.

    Raises:
        MissingExtraError: transformers is not installed.
        LoadError: no such folder, code of its own, weights that are missing or no safetensors.
    """
    folder = Path(folder)
    transformers = transformers_of(str(folder))
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        cure = "give a folder that model.save_pretrained(FOLDER) wrote"
        raise LoadError("the folder has no config.json", where="MODEL", seen=f"{folder}: {error}", cure=cure) from error
    if "auto_map" in config:
        cure = "write a file.py:Class around it, if you trust the code"
        raise LoadError("the folder brings code of its own, which is not run", where=str(folder), cure=cure)
    name = str((config.get("architectures") or ["none"])[0])
    kind: Any = getattr(transformers, name, None)
    known = isinstance(kind, type) and issubclass(kind, transformers.PreTrainedModel)
    if not known:
        cure = "config.json names its class under architectures; a newer transformers may know it"
        raise LoadError("transformers has no such model", where=str(folder), seen=name, cure=cure)
    try:
        model, found = kind.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=torch.float32, output_loading_info=True
        )
    except Exception as error:  # transformers raises what the files lead it to
        cure = "model.save_pretrained(FOLDER) writes safetensors"
        raise LoadError("the model cannot be loaded", where=str(folder), seen=told(error), cure=cure) from error
    if found["missing_keys"]:  # transformers fills them with random numbers
        missing = listed(sorted(map(str, found["missing_keys"])))
        cure = "give the folder of the whole model, saved after it was trained"
        raise LoadError(f"weights of the {name} are missing", where=str(folder), seen=missing, cure=cure)
    made: nn.Module = model
    return made.eval()


def load_tokenizer(path: str | Path) -> Any:
    """Return the fast tokenizer of a folder that `save_pretrained` wrote, or of a tokenizer.json.

    Raises:
        MissingExtraError: transformers is not installed.
        LoadError: no such file or folder, or no tokenizer in it.
    """
    path = Path(path)
    transformers = transformers_of(str(path))
    try:
        if path.is_file():
            return transformers.PreTrainedTokenizerFast(tokenizer_file=str(path))
        if not path.is_dir():
            raise OSError("there is no such file or folder")
        return transformers.AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # transformers and tokenizers raise what the files lead them to
        cure = "--tokenizer FOLDER (tokenizer.save_pretrained(FOLDER) wrote it), or a tokenizer.json"
        raise LoadError("there is no tokenizer", where=str(path), seen=told(error), cure=cure) from error


def transformers_of(where: str) -> Any:
    """Return the package.

    Raises:
        MissingExtraError: it is not installed.
    """
    return imported("transformers", "hf", "the model needs a package", where)


def told(error: BaseException) -> str:
    """Return an exception in one line of at most 300 letters."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
