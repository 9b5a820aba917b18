import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from lrp.errors import LoadError, UnsafeFileError
from lrp.models import load_weights, read_state_dict


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


def state(model: nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in model.state_dict().items()}


class Runs:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("ending", ["pth", "pt", "bin", "safetensors"])
def test_both_formats(tmp_path: Path, ending: str) -> None:
    theirs, ours = net(), net()
    path = tmp_path / f"weights.{ending}"
    if ending == "safetensors":
        safetensors.torch.save_file(theirs.state_dict(), path)
    else:
        torch.save(theirs.state_dict(), path)
    load_weights(ours, path)
    assert all(torch.equal(value, theirs.state_dict()[key]) for key, value in ours.state_dict().items())


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_wrappers_are_taken_away(tmp_path: Path, key: str, prefix: str) -> None:
    theirs, ours = net(), net()
    wrapped = {prefix + name: value for name, value in theirs.state_dict().items()}
    torch.save({key: wrapped, "epoch": 3}, tmp_path / "w.pth")
    load_weights(ours, tmp_path / "w.pth")
    assert torch.equal(ours[0].weight, theirs[0].weight)


def test_names_of_the_model_itself_are_kept(tmp_path: Path) -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = nn.Linear(2, 2)

    theirs, ours = Own(), Own()
    torch.save(theirs.state_dict(), tmp_path / "w.pth")
    load_weights(ours, tmp_path / "w.pth")
    assert torch.equal(ours.module.weight, theirs.module.weight)


def test_keys_and_shapes_that_do_not_fit_are_listed_and_change_nothing(tmp_path: Path) -> None:
    wrong = state(net())
    wrong["0.wieght"] = wrong.pop("0.weight")
    wrong["1.bias"] = torch.zeros(7)
    torch.save(wrong, tmp_path / "w.pth")
    ours = net()
    before = state(ours)
    with pytest.raises(LoadError) as raised:
        load_weights(ours, tmp_path / "w.pth")
    text = str(raised.value)
    assert "missing 0.weight (one of '0.wieght')" in text
    assert "unexpected 0.wieght" in text
    assert "1.bias is (7,), the model's is (2,)" in text
    assert all(torch.equal(value, before[key]) for key, value in ours.state_dict().items())


def test_a_pickle_that_runs_code_is_refused_by_name_and_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    torch.save({"state_dict": net().state_dict(), "extra": Runs(mark)}, tmp_path / "w.pth")
    with pytest.raises(UnsafeFileError, match=r"mkdir") as raised:
        load_weights(net(), tmp_path / "w.pth")
    assert "save" in str(raised.value)
    assert not mark.exists()


@pytest.mark.parametrize("old", ["torch", "pickle"])
def test_old_formats_that_run_code_are_refused_by_name_and_not_run(tmp_path: Path, old: str) -> None:
    mark, path = tmp_path / "ran", tmp_path / "w.pth"
    if old == "torch":
        torch.save({"a": torch.zeros(2), "b": Runs(mark)}, path, _use_new_zipfile_serialization=False)
    else:
        path.write_bytes(pickle.dumps(Runs(mark)))
    with pytest.raises(UnsafeFileError, match=r"it calls \w+\.mkdir\n"):
        read_state_dict(path)
    assert not mark.exists()


def test_a_pickled_model_is_refused_and_loads_if_trusted(tmp_path: Path) -> None:
    theirs, ours = net(), net()
    torch.save(theirs, tmp_path / "w.pth")
    with pytest.raises(UnsafeFileError, match=r"torch\.nn\.modules\.linear\.Linear"):
        load_weights(ours, tmp_path / "w.pth")
    load_weights(ours, tmp_path / "w.pth", trust=True)
    assert torch.equal(ours[0].weight, theirs[0].weight)


@pytest.mark.filterwarnings("ignore:.*jit.*:DeprecationWarning")
def test_torchscript_is_refused_even_if_trusted(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.trace(nn.Linear(3, 2), torch.zeros(1, 3)), str(tmp_path / "w.pt"))
    for trust in (False, True):
        with pytest.raises(UnsafeFileError, match="TorchScript"):
            read_state_dict(tmp_path / "w.pt", trust=trust)


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("data", [b"", b"no weights at all", b"PK\x03\x04 cut off"])
def test_files_that_are_no_weights(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(LoadError) as raised:
        read_state_dict(tmp_path / name)
    assert not isinstance(raised.value, UnsafeFileError)
    with pytest.raises(LoadError, match="no such file"):
        read_state_dict(tmp_path / f"absent-{name}")


def test_a_checkpoint_under_another_key_says_so(tmp_path: Path) -> None:
    torch.save({"net": net().state_dict(), "epoch": 3}, tmp_path / "w.pth")
    with pytest.raises(LoadError, match="net, epoch"):
        read_state_dict(tmp_path / "w.pth")
    torch.save([torch.zeros(1)], tmp_path / "w.pth")
    with pytest.raises(LoadError, match="list"):
        read_state_dict(tmp_path / "w.pth")
