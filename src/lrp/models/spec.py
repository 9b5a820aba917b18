"""Models by name: `file.py:Class` or `package.module:callable`."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from lrp.errors import LoadError, nearest

__all__ = ["importable", "load_model"]

FORMS = "give file.py:Class, package.module:callable, or hf:FOLDER for a folder of transformers"


def load_model(spec: str, kwargs: Mapping[str, Any] | None = None) -> nn.Module:
    """Return the model that `spec` names, built with `kwargs` and switched to eval mode.

    Reading the file or module runs it, as `import` does. The name after the colon is a class, a function that
    returns a module, or a module that exists already (then without kwargs). Building, too, runs its code.

    Args:
        spec: `file.py:Class` (the file's folder is importable meanwhile, as with `python file.py`), or
            `package.module:callable` (nothing is added to `sys.path`).
        kwargs: keyword arguments of the class or function.

    Raises:
        LoadError: no such file, module or name; an exception on the way; something that is no `nn.Module`.
    """
    source, name = split(spec)
    with importable(spec):
        module = read_file(Path(source)) if source.endswith(".py") else read_module(source)
        model = build(find(module, name, spec), spec, dict(kwargs or {}))
    return model.eval()


@contextlib.contextmanager
def importable(spec: str) -> Iterator[None]:
    """Make the folder of `file.py:Class` importable for a while; do nothing for `package.module:callable`.

    A model that imports its neighbours only inside `forward` needs this around its run.
    """
    source, _ = split(spec)
    if not source.endswith(".py"):
        yield
        return
    folder = str(Path(source).resolve().parent)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(folder)


def split(spec: str) -> tuple[str, str]:
    """Return what stands before and after the last colon.

    >>> split("models/net.py:Net")
    ('models/net.py', 'Net')
    """
    source, _, name = spec.rpartition(":")
    if not source or not name:
        raise LoadError("the model's name has no two parts", where="MODEL", seen=spec, cure=FORMS)
    return source, name


def read_file(path: Path) -> ModuleType:
    """Run a Python file as a module of its own, and return it.

    The name is unique to the file and stays in `sys.modules`, so that dataclasses and pickles find their classes
    and a file called `lrp.py` or `torch.py` shadows nothing.
    """
    if not path.is_file():
        raise LoadError("there is no such file", where="MODEL", seen=str(path), cure=FORMS)
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]
    spec = importlib.util.spec_from_file_location(f"lrp_model_{digest}_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise LoadError("the file cannot be read as Python", where="MODEL", seen=str(path), cure=FORMS)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[spec.name]
        cure = "guard what is not meant for import with `if __name__ == '__main__':`; `python FILE` shows the traceback"
        raise LoadError("the model's file raised an exception", where=str(path), seen=told(error), cure=cure) from error
    return module


def read_module(name: str) -> ModuleType:
    """Import a module by its dotted name."""
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        cure = "install its package, or give the path of its file: path/to/file.py:Class"
        raise LoadError("the model's module cannot be imported", where=name, seen=told(error), cure=cure) from error


def find(module: ModuleType, name: str, spec: str) -> object:
    """Return what the module calls `name` (dots reach into classes, as in `EfficientNet.from_name`)."""
    found: object = module
    for part in name.split("."):
        if not hasattr(found, part):
            public = [known for known in dir(found) if not known.startswith("_")]
            raise LoadError("the name is not there", where=spec, seen=part, cure=nearest(part, public))
        found = getattr(found, part)
    return found


def build(found: object, spec: str, kwargs: dict[str, Any]) -> nn.Module:
    """Call what was found, unless it is a model already."""
    if isinstance(found, nn.Module):
        if kwargs:
            raise LoadError("a model that exists already takes no arguments", where=spec, seen=f"kwargs {kwargs}")
        return found
    if not callable(found):
        cure = "name a class or a function that returns an nn.Module"
        raise LoadError("the name is no model", where=spec, seen=type(found).__name__, cure=cure)
    try:
        model = found(**kwargs)
    except (Exception, SystemExit) as error:
        cure = "give its arguments with --model-kwargs JSON (in Python: kwargs)"
        raise LoadError("the model could not be built", where=spec, seen=told(error), cure=cure) from error
    if not isinstance(model, nn.Module):
        cure = "name a class or a function that returns an nn.Module"
        raise LoadError("what was built is no nn.Module", where=spec, seen=type(model).__name__, cure=cure)
    return model


def told(error: BaseException) -> str:
    """Return an exception in one line.

    >>> told(ValueError("too small"))
    'ValueError: too small'
    """
    return f"{type(error).__name__}: {error}"
