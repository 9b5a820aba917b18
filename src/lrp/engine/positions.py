"""Positional embeddings: constants of the model that are added to its tokens, one vector for each position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from lrp.engine.modules import ModulePaths
from lrp.engine.outcome import TorchCall
from lrp.engine.structure import is_continuous, tensors_in
from lrp.engine.uncompiled import named_modules
from lrp.engine.values import ByIdentity, Value
from lrp.ops.table import usual

if TYPE_CHECKING:
    from lrp.engine.run import Run

__all__ = ["Positions", "Vectors"]


class Vectors(NamedTuple):
    """Positional vectors as they are added: whose they are, the shape of the sum, and whether positions come first."""

    name: str
    shape: torch.Size
    sequence_first: bool


class _Origin(NamedTuple):
    """The one parameter or buffer that a constant was made of; `whole`: the constant is it, or a view of it."""

    name: str
    tensor: Tensor
    whole: bool


class Positions:
    """What is known of the parameters and buffers of the running model, and of the constants made of them.

    Args:
        modules: where in the model we are.
    """

    def __init__(self, modules: ModulePaths) -> None:
        self._modules = modules
        self._roots: list[nn.Module] = []
        self._origins: ByIdentity[_Origin | None] = ByIdentity()

    def follow(self, operands: Sequence[Tensor], result: Any, written: Tensor | None) -> None:
        """Note of what a call without data made its result, where that is one parameter or buffer alone."""
        origins = [self._origin(tensor) for tensor in operands if is_continuous(tensor)]
        one = origins[0] if origins and len({origin and origin.name for origin in origins}) == 1 else None
        if written is not None and one is None:
            for tensor in (written, written if written._base is None else written._base):
                self._origins.put(tensor, None)
            return
        for tensor in tensors_in(result):
            if one is not None and self._origin(tensor) is None:
                self._origins.put(tensor, one._replace(whole=False))

    def vectors(self, run: Run, call: TorchCall, constant: Tensor) -> Vectors | None:
        """The constant as positional vectors that a call adds to data; None where it is none.

        The data is `(N, T, D)`, or `(T, N, D)` where the model holds its vectors as `(T, 1, D)`. Products of data, such
        as the scores of attention, have no positions: what is added to them says something of pairs.
        """
        if usual(call.op.name) != "add" or constant.dim() < 2:
            return None
        if any((run.value(tensor) or Value()).factors > 1 for tensor in call.data):
            return None
        shape = torch.broadcast_shapes(*(operand.shape for operand in call.operands))
        origin = self._origin(constant)
        if origin is None or len(shape) != 3 or (origin.whole and origin.tensor.numel() == constant.shape[-1]):
            return None
        held = origin.tensor.shape
        sequence_first = origin.whole and len(held) == constant.dim() == 3 and held[1] == constant.shape[1] == 1
        axis = -3 if sequence_first else -2
        if (constant.shape[axis], constant.shape[-1]) != (shape[axis], shape[-1]):
            return None
        return Vectors(origin.name, shape, sequence_first)

    def _origin(self, tensor: Tensor) -> _Origin | None:
        frames = self._modules.stack
        root = self._modules.model or (frames[0].module if frames else None)
        if root is not None and not any(root is known for known in self._roots):
            self._add(root, "" if root is self._modules.model else frames[0].path)
        base = tensor if tensor._base is None else tensor._base
        return self._origins.get(tensor) or self._origins.get(base)

    def _add(self, root: nn.Module, path: str) -> None:
        """Name the parameters and buffers of a model; the weight of a module is named by the module alone."""
        self._roots.append(root)
        for where, module in named_modules(root, path):
            for name, tensor in (*module._parameters.items(), *module._buffers.items()):
                if tensor is not None and is_continuous(tensor) and self._origins.get(tensor) is None:
                    parts = (where,) if name == "weight" and where else (where, name)
                    self._origins.put(tensor, _Origin(".".join(filter(None, parts)), tensor, True))
