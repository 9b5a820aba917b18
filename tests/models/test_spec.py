import contextlib
import sys
from pathlib import Path

import pytest
from torch import nn

from lrp.errors import LoadError
from lrp.models import importable, load_model

FILE = """
import dataclasses
import pickle
from torch import nn
from neighbour_of_the_model import WIDTH

@dataclasses.dataclass
class Config:
    width: int = WIDTH

class Net(nn.Module):
    def __init__(self, width=WIDTH):
        super().__init__()
        import other_neighbour_of_the_model
        self.fc = nn.Linear(width, 1)
        self.drop = nn.Dropout()

class Outer:
    @staticmethod
    def make():
        return Net(7)

def no_model():
    return 3

copied = pickle.loads(pickle.dumps(Config()))
instance = Net()
number = 4
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "neighbour_of_the_model.py").write_text("WIDTH = 5\n")
    (tmp_path / "other_neighbour_of_the_model.py").write_text("")
    path = tmp_path / "net.py"
    path.write_text(FILE)
    return path


def test_file_class_with_its_neighbours(file: Path) -> None:
    before = list(sys.path)
    model = load_model(f"{file}:Net")
    assert model.fc.in_features == 5
    assert not model.training
    assert not model.drop.training
    assert sys.path == before


def test_arguments_functions_and_instances(file: Path) -> None:
    assert load_model(f"{file}:Net", {"width": 3}).fc.in_features == 3
    assert load_model(f"{file}:Outer.make").fc.in_features == 7
    assert load_model(f"{file}:instance").fc.in_features == 5


def test_package_module_adds_nothing_to_the_path() -> None:
    before = list(sys.path)
    model = load_model("torch.nn:Linear", {"in_features": 2, "out_features": 3})
    assert isinstance(model, nn.Linear)
    assert sys.path == before


def test_a_file_named_after_a_package_shadows_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lrp.py"
    path.write_text("from torch import nn\nimport lrp.errors\n\ndef net():\n    return nn.Linear(1, 1)\n")
    assert isinstance(load_model(f"{path}:net"), nn.Linear)
    assert sys.modules["lrp"].__file__ != str(path)


def test_importable_restores_the_path_after_an_exception(file: Path) -> None:
    before = list(sys.path)
    with contextlib.suppress(ZeroDivisionError), importable(f"{file}:Net"):
        assert sys.path[0] == str(file.parent)
        raise ZeroDivisionError
    assert sys.path == before


@pytest.mark.parametrize(
    ("name", "kwargs", "words"),
    [
        ("Nett", {}, ["Nett", "one of 'Net'"]),
        ("no_model", {}, ["no nn.Module", "int"]),
        ("number", {}, ["no model", "int"]),
        ("instance", {"width": 3}, ["no arguments"]),
        ("Net", {"wdth": 3}, ["could not be built", "wdth"]),
    ],
)
def test_names_that_are_no_model(file: Path, name: str, kwargs: dict[str, int], words: list[str]) -> None:
    with pytest.raises(LoadError) as raised:
        load_model(f"{file}:{name}", kwargs)
    assert all(word in str(raised.value) for word in words)


def test_a_file_that_raises_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("import sys\nsys.exit(3)\n")
    before = set(sys.modules)
    with pytest.raises(LoadError, match="SystemExit: 3"):
        load_model(f"{path}:Net")
    assert not [name for name in set(sys.modules) - before if "broken" in name]


@pytest.mark.parametrize("spec", ["net.py", "net.py:", ":Net", "absent.py:Net", "absent_package.module:Net"])
def test_specs_that_name_nothing(spec: str) -> None:
    with pytest.raises(LoadError):
        load_model(spec)
