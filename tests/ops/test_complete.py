"""No number in silence: torch's whole list of functions, and its own sample inputs."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

import pytest
import torch
from torch.overrides import get_overridable_functions, resolve_name

from lrp.engine.cuts import CUTS
from lrp.ops.metadata import METADATA
from lrp.ops.refused import REFUSED
from lrp.ops.table import lookup
from tests.cases.census import MET
from tests.ops.samples import BALANCED, NOTHING, by_name, differentiable, operators, outcome, samples
from tests.ops.samples import REFUSED as REFUSAL

NOT_MET = {
    "logic and integers": "__and__ __or__ __xor__ __i*shift__ __r*shift__ __*shift__ __iand__ __ior__ __ixor__ "
    "__invert__ __*floordiv__ __*mod__ __eq__ __ne__ __ge__ __gt__ __le__ __lt__ __contains__",
    "to Python, to other libraries, copies of the object": "__array*__ __bool__ __nonzero__ __complex__ __float__ "
    "__int__ __long__ __index__ __deepcopy__ __dlpack*__ __reduce_ex__ __setstate__ __cuda_array_interface__ item "
    "numpy tolist const_data_ptr storage storage_type share_memory_ module_load set_ record_stream",
    "questions about a tensor": "is_* _is_view dim_order get_device numel *_hooks *_hook _base _cdata _grad _grad_fn "
    "grad grad_dtype grad_fn name volatile backward q_* qscheme _clear_non_serializable_cached_data",
    "Python numbers and shapes": "sym_* _sym_*",
    "quantised": "quantize* fbgemm_* fake_quantize* fused_moving_avg_obs_fake_quant dequantize int_repr "
    "choose_qparams_optimized",
    "sparse": "*indices* *values* _dimI _dimV _nnz _coalesced_ coalesce *sparse* dense_dim smm sspaddmm hspmm hsmm "
    "saddmm *to_dense to_mkldnn",
    "nested": "_nested_tensor_*",
    "parts of kernels that are called inside of torch, and other devices'": "batch_norm_* miopen_* native_batch_norm "
    "native_group_norm native_layer_norm native_norm ipu mtia autocast _autocast_*",
    "elements by a Python function, and named places without a gradient": "apply_ map_ map2_ index resize_as",
}

PARTS = 8
"""Torch's list of operators is taken in parts, as all of it takes half a minute."""


@cache
def operator_of() -> dict[Any, list[Any]]:
    """Torch function -> the operators that it is a spelling of."""
    found = defaultdict(list)
    for operator in operators():
        for spelling in (operator, *operator.aliases):
            for function in (spelling.op, spelling.method_variant, spelling.inplace_variant):
                if function is not None:
                    found[function].append(operator)
    return found


def is_known(function: Callable[..., Any]) -> bool:
    name = getattr(function, "__name__", "")
    plain = name if name.endswith("__") else name.removesuffix("_")
    return lookup(function) is not None or function in METADATA | CUTS or {name, plain} & REFUSED.keys() != set()


def is_met(function: Callable[..., Any]) -> bool:
    """Whether a function may take data in and give data out."""
    path = (resolve_name(function) or str(function)).removesuffix(".__get__")
    name = path.rpartition(".")[2]
    if any(fnmatchcase(name, pattern) for patterns in NOT_MET.values() for pattern in patterns.split()):
        return False
    spelled = operator_of().get(function, [])
    return not spelled or any(differentiable(operator) for operator in spelled)


def test_every_function_has_a_rule_or_is_refused_with_its_reason() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        functions = {function for listed in get_overridable_functions().values() for function in listed}
        missing = {resolve_name(f) or str(f) for f in functions if not is_known(f) and is_met(f)}
    assert sorted(missing) == []


def test_a_refusal_names_a_function_that_has_no_rule() -> None:
    homes = (torch, torch.Tensor, torch.nn.functional, torch.linalg, torch._C._linalg, torch._C._nn, torch._C._special)
    homes = (*homes, torch.ops.quantized)
    for name in REFUSED:
        named = [function for home in homes if (function := getattr(home, name, None)) is not None]
        assert named, f"torch has no {name}"
        assert not any(lookup(function) for function in named), f"{name} has a rule and a refusal"


@pytest.mark.parametrize("path", MET)
def test_what_real_architectures_call_is_in_the_table(path: str) -> None:
    owner: Any = torch
    *places, name = path.removeprefix("torch.").split(".")
    for place in places:
        owner = getattr(owner, place)
    function = getattr(owner, name)
    assert lookup(function) is not None


@pytest.mark.parametrize("part", range(PARTS))
def test_the_books_balance_on_the_samples_of_torch_itself(part: int) -> None:
    """Two samples of each operator: all that is not refused by name is bit-equal and loses nothing in any op call."""
    wrong, balanced = {}, 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for operator in operators()[part::PARTS]:
            for sample in samples(operator, 2):
                for first_alone in (False, True):
                    found = outcome(operator, sample, first_alone)
                    balanced += found == BALANCED
                    if found not in (BALANCED, REFUSAL, NOTHING):
                        wrong[operator.name, first_alone] = found
                    if found == BALANCED:
                        break
    assert wrong == {}
    assert balanced > 350 / PARTS


def test_what_is_written_out_takes_its_arguments_by_name() -> None:
    wrong, balanced = {}, 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for operator in operators():
            op = lookup(operator.op)
            if op is None or not (op.family in ("written out", "solution") or op.added):
                continue
            for sample in samples(operator, 1):
                named = by_name(operator, sample)
                found = NOTHING if named is None else outcome(named, sample, False)
                balanced += found == BALANCED
                if found not in (BALANCED, REFUSAL, NOTHING):
                    wrong[operator.name] = found
    assert wrong == {}
    assert balanced > 30
