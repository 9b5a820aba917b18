"""Several threads explain at once, and none sees another's modules, hooks or calls."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

import lrp
from tests.cases.networks import CASES
from tests.engine.checks import PRESETS, normal

NETWORKS = ["mlp", "conv1d_net", "vgg_bn", "residual_functional"]


def explained(model: nn.Module, network: str, preset: str) -> lrp.Relevance:
    return lrp.explain(model, CASES[network].inputs(), composite=PRESETS[preset](), keep="all")


def at_once(jobs: list[Callable[[], Any]]) -> list[Any]:
    """Run all jobs in threads of their own that start together."""
    barrier = threading.Barrier(len(jobs))

    def job(work: Callable[[], Any]) -> Any:
        barrier.wait()
        return work()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return [future.result() for future in [pool.submit(job, work) for work in jobs]]


def assert_equal(ours: lrp.Relevance, truth: lrp.Relevance) -> None:
    assert torch.equal(ours.input, truth.input)
    assert list(ours.layers) == list(truth.layers)
    assert all(torch.equal(ours[name], truth[name]) for name in truth.layers)
    assert [(row.path, row.rule) for row in ours.plan] == [(row.path, row.rule) for row in truth.plan]


@pytest.mark.parametrize("preset", PRESETS)
def test_different_models_in_threads_equal_one_after_the_other(preset: str):
    models = {network: CASES[network].build() for network in NETWORKS}
    truth = {network: explained(models[network], network, preset) for network in NETWORKS}
    runs = at_once([lambda n=network: explained(models[n], n, preset) for network in NETWORKS])
    for network, run in zip(NETWORKS, runs, strict=True):
        assert_equal(run, truth[network])
    assert not torch_module._global_forward_pre_hooks
    assert not torch_module._global_forward_hooks
    assert not torch_module._global_forward_hooks_always_called


def test_one_model_in_many_threads():
    model = CASES["vgg_bn"].build()
    truth = explained(model, "vgg_bn", "epsilon_plus")
    for run in at_once([lambda: explained(model, "vgg_bn", "epsilon_plus")] * 4):
        assert_equal(run, truth)


def test_a_plain_forward_in_another_thread_is_left_alone():
    model, other = CASES["resnet18_small"].build(), CASES["mlp"].build()
    x, y = CASES["resnet18_small"].inputs(), CASES["mlp"].inputs()
    plain, stop, outputs = other(y), threading.Event(), []

    def forwards() -> None:
        while not stop.is_set():
            outputs.append(other(y))

    thread = threading.Thread(target=forwards)
    thread.start()
    try:
        r = lrp.explain(model, x, keep="all", composite=PRESETS["epsilon_plus"]())
    finally:
        stop.set()
        thread.join()
    assert_equal(r, lrp.explain(model, x, keep="all", composite=PRESETS["epsilon_plus"]()))
    assert all(torch.equal(output, plain) for output in outputs)


def in_another_thread(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function, x).result()


def hidden_part(x: Tensor) -> Tensor:
    # several calls of its own first: autograd numbers the nodes of every thread from 0
    for _ in range(5):
        x = x * 1.0
    return F.linear(in_another_thread(F.gelu, x), normal(2, 4))


def test_work_of_the_model_in_another_thread_is_refused():
    with pytest.raises(lrp.errors.UnseenError, match="Gelu"):
        lrp.explain(hidden_part, normal(3, 4))


def test_work_in_another_thread_is_refused_in_a_fresh_thread_too():
    """There, this thread's numbers start at 0 as well, and could be taken for the other's."""
    with ThreadPoolExecutor(1) as pool, pytest.raises(lrp.errors.UnseenError, match="Gelu"):
        pool.submit(lambda: lrp.explain(hidden_part, normal(3, 4), ledger=False)).result()
