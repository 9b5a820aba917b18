"""The table's lines for sums, products and what has weights."""

from __future__ import annotations

from collections.abc import Iterator

from lrp.ops.op import Op, Place

__all__ = ["lines"]

_PRODUCTS = """
    matmul mm bmm mv dot __matmul__ __rmatmul__ outer ger inner vdot kron tensordot cross einsum
    linalg_matmul linalg_vecdot linalg_cross _grouped_mm grouped_mm _sparse_mm
"""
_CONVOLUTIONS = """
    conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d conv_tbc convolution _convolution
"""
_SOLUTIONS: dict[str, Place] = {
    **dict.fromkeys(("linalg_solve", "linalg_solve_ex", "linalg_solve_triangular"), (1, "B")),
    **{"linalg_lu_solve": (2, "B"), "linalg_tensorsolve": (1, "other"), "cholesky_solve": (0, "input")},
    "lu_solve": (0, "input"),
}
"""Functions that divide by a matrix, with the argument that is divided."""


def lines() -> Iterator[Op]:
    """The lines, one for each operation."""
    for name in ("add", "__add__", "__radd__"):
        yield Op(name, "sum", scalars=((1, "other"),), monotone=True)
    for name in ("sub", "subtract", "rsub", "__sub__", "__rsub__"):
        yield Op(name, "sum", scalars=((1, "other"),))
    for name in ("neg", "negative", "mul", "multiply", "__mul__", "__rmul__"):
        yield Op(name, "product")
    for name in ("div", "divide", "true_divide", "__truediv__", "__div__", "__rtruediv__", "__rdiv__"):
        yield Op(name, "division")
    for name, place in _SOLUTIONS.items():
        yield Op(name, "solution", places=(place,))
    for name in _PRODUCTS.split():
        yield Op(name, "matmul")
    for name in ("addmm", "addmv", "addr", "addbmm", "baddbmm"):
        yield Op(name, "matmul", added=(0, "input"))
    yield Op("bilinear", "matmul", added=(3, "bias"))
    yield Op("linear", "linear", added=(2, "bias"))
    for name in _CONVOLUTIONS.split():
        yield Op(name, "conv", added=(2, "bias"))
    yield Op("batch_norm", "norm")
    for name in ("layer_norm", "group_norm", "instance_norm", "rms_norm"):
        yield Op(name, "normaliser")
