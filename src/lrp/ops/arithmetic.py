"""The table's lines for sums, products and what has weights."""

from __future__ import annotations

from collections.abc import Iterator

from lrp.ops.op import Op

__all__ = ["lines"]


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
    for name in ("matmul", "mm", "bmm", "mv", "dot", "__matmul__", "__rmatmul__"):
        yield Op(name, "matmul")
    yield Op("linear", "linear")
    for name in ("conv1d", "conv2d", "conv3d"):
        yield Op(name, "conv")
    yield Op("batch_norm", "norm")
