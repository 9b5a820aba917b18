from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lrp.errors import InputError, LoadError, UnsafeFileError
from lrp.models import load_inputs


@pytest.fixture
def table(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "table.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_a_table_with_and_without_header(table: Callable[[str], Path]) -> None:
    named = load_inputs(table("\ufeffage, mean size\n1,2.5\n\n-3e-1,4\n"))
    assert named.features == ("age", "mean size")
    assert torch.equal(named.values, torch.tensor([[1, 2.5], [-0.3, 4]]))
    bare = load_inputs(table("1,2\n3,4\n5,6\n"))
    assert bare.features == ("column 1", "column 2")
    assert len(bare) == 3
    assert torch.equal(bare.sample(1), torch.tensor([[3.0, 4.0]]))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("age,kind\n1,2\n3,benign\n", ["line 3", "'kind'", "benign", "text"]),
        ("1,benign\n3,4\n", ["line 1", "column 2", "benign"]),
        ("age,kind\n1,\n", ["line 2", "'kind'", "''"]),
        ("age,size\n1,2\n3\n", ["line 3", "1 of 2"]),
        ("age,size\n1,nan\n", ["line 2", "'size'", "nan", "not finite"]),
        ("age,size\ninf,1\n", ["'age'", "inf", "not finite"]),
        ("age,size\n1e39,1\n", ["'age'", "1e39", "not finite"]),
        ("age,age\n1,2\n", ["age", "differ"]),
        ("age;size\n1;2\n", ["age;size", "1;2", "commas"]),
        ("age,size\n", ["no samples"]),
        ("", ["empty"]),
    ],
)
def test_tables_that_are_no_input(table: Callable[[str], Path], text: str, words: list[str]) -> None:
    with pytest.raises(InputError) as raised:
        load_inputs(table(text))
    assert all(word in str(raised.value) for word in words)


def test_a_table_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(LoadError, match="UTF-8"):
        load_inputs(tmp_path / "t.csv")


def test_arrays_positional_and_by_name(tmp_path: Path) -> None:
    x = np.arange(6.0).reshape(2, 3)
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "one.npz", anything=x)
    np.savez(tmp_path / "two.npz", x=x, label=np.array([1, 2]))
    assert torch.equal(load_inputs(tmp_path / "x.npy").values, torch.from_numpy(x))
    assert torch.equal(load_inputs(tmp_path / "one.npz").values, torch.from_numpy(x))
    both = load_inputs(tmp_path / "two.npz")
    assert {name: value.shape[0] for name, value in both.sample(1).items()} == {"x": 1, "label": 1}
    half = both.to(torch.device("cpu"), torch.float16)
    assert half.values["x"].dtype == torch.float16
    assert half.values["label"].dtype == torch.int64


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"a": np.zeros((0, 3))}, ["no samples"]),
        ({"a": np.zeros(3)}, ["no sample axis"]),
        ({"a": np.zeros(()), "b": np.zeros(3)}, ["no sample axis"]),
        ({"a": np.zeros((2, 3)), "b": np.zeros((3, 3))}, ["differ", "(2, 3)", "(3, 3)"]),
        ({}, ["no samples"]),
    ],
)
def test_arrays_that_are_no_input(tmp_path: Path, arrays: dict[str, np.ndarray], words: list[str]) -> None:
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(InputError) as raised:
        load_inputs(tmp_path / "x.npz")
    assert all(word in str(raised.value) for word in words)


def test_arrays_of_objects_and_broken_files_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([[{}]]))
    np.savez(tmp_path / "x.npz", a=np.array([[{}]]))
    for name in ("x.npy", "x.npz"):
        with pytest.raises(UnsafeFileError, match="Python objects"):
            load_inputs(tmp_path / name)
    for data in (b"", b"nothing", b"PK\x03\x04"):
        (tmp_path / "y.npy").write_bytes(data)
        with pytest.raises(LoadError):
            load_inputs(tmp_path / "y.npy")
    np.save(tmp_path / "words.npy", np.array([["a", "b"]]))
    with pytest.raises(LoadError, match="<U1"):
        load_inputs(tmp_path / "words.npy")


def test_an_image_at_its_own_size_and_fitted(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    own = load_inputs(tmp_path / "x.png")
    assert own.values.dtype == torch.float32
    assert torch.equal(own.values[0], torch.from_numpy(pixels).permute(2, 0, 1) / 255)
    assert own.picture is not None
    assert own.picture.size == (60, 40)
    assert load_inputs(tmp_path / "x.png", size=32).values.shape == (1, 3, 32, 32)
    scaled = load_inputs(tmp_path / "x.png", mean=(0.5, 0.25, 0.0), std=(0.5, 1.0, 2.0)).values
    expected = (own.values - torch.tensor([0.5, 0.25, 0]).view(3, 1, 1)) / torch.tensor([0.5, 1, 2]).view(3, 1, 1)
    assert torch.equal(scaled, expected)


def test_the_crop_is_the_centre(tmp_path: Path) -> None:
    pixels = np.zeros((20, 60, 3), dtype=np.uint8)
    pixels[:, 20:40] = 200
    Image.fromarray(pixels).save(tmp_path / "x.png")
    assert (load_inputs(tmp_path / "x.png", size=20).values * 255 == 200).all()


def test_images_are_turned_upright_and_grey_becomes_rgb(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.new("L", (30, 20), 51).save(tmp_path / "x.png", exif=exif)
    values = load_inputs(tmp_path / "x.png").values
    assert values.shape == (1, 3, 30, 20)
    assert (values == torch.tensor(51 / 255)).all()


@pytest.mark.parametrize(
    "ending", ["avif", "gif", "ico", "jp2", "jpeg", "pcx", "ppm", "qoi", "sgi", "tga", "tif", "webp"]
)
def test_formats_of_images(tmp_path: Path, ending: str) -> None:
    Image.new("RGB", (16, 8), (255, 0, 0)).resize((16, 16) if ending == "ico" else (16, 8)).save(
        tmp_path / f"x.{ending}"
    )
    values = load_inputs(tmp_path / f"x.{ending}").values
    assert values.shape[:2] == (1, 3)
    assert values.mean((0, 2, 3)).tolist() == pytest.approx([1, 0, 0], abs=0.02)


def test_16_bits_are_read_as_their_upper_8_and_transparency_is_left_out(tmp_path: Path) -> None:
    deep = np.array([[0, 255, 256, 65535]], dtype=np.uint16)
    for ending in ("png", "tif"):
        Image.fromarray(deep).save(tmp_path / f"deep.{ending}")
        found = load_inputs(tmp_path / f"deep.{ending}").values * 255
        assert found.tolist() == [[[[0, 0, 1, 255]]] * 3]
    Image.new("RGBA", (2, 1), (255, 51, 0, 0)).save(tmp_path / "clear.png")
    assert (load_inputs(tmp_path / "clear.png").values[0, :, 0, 0] * 255).tolist() == [255, 51, 0]
    Image.new("RGB", (1, 1), (0, 0, 255)).save(tmp_path / "one.png")
    assert load_inputs(tmp_path / "one.png").values.shape == (1, 3, 1, 1)


def test_a_huge_picture_is_refused_before_it_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("1", (10_000, 10_000)).save(tmp_path / "huge.png")
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda image: pytest.fail("it was decoded"))
    for limit in (Image.MAX_IMAGE_PIXELS, None):
        monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", limit)
        with pytest.raises(LoadError, match=r"huge\.png"):
            load_inputs(tmp_path / "huge.png")


def test_an_ending_does_not_bring_ghostscript(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "x.eps")
    (tmp_path / "x.eps").rename(tmp_path / "x.png")
    with pytest.raises(LoadError, match="cannot identify"):
        load_inputs(tmp_path / "x.png")


def test_images_that_are_no_input(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"no image")
    with pytest.raises(LoadError, match="as an image"):
        load_inputs(tmp_path / "x.png")
    Image.fromarray(np.full((4, 4), 0.5, dtype=np.float32)).save(tmp_path / "deep.tif")
    with pytest.raises(InputError, match="which number is white"):
        load_inputs(tmp_path / "deep.tif")
    Image.new("RGB", (4, 4)).save(tmp_path / "y.png")
    with pytest.raises(InputError, match="three numbers"):
        load_inputs(tmp_path / "y.png", mean=(0.5,))
    with pytest.raises(InputError, match="divides by zero"):
        load_inputs(tmp_path / "y.png", std=(0.5, 0.0, 0.5))


def test_other_files(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="no such file"):
        load_inputs(tmp_path / "absent.csv")
    (tmp_path / "x.txt").write_bytes(b"")
    with pytest.raises(LoadError, match="ending"):
        load_inputs(tmp_path / "x.txt")
    (tmp_path / "x.csv").write_text("1,2\n")
    with pytest.raises(InputError, match="for images"):
        load_inputs(tmp_path / "x.csv", size=3)
