"""The table's lines for homogeneous functions, powers and logsumexp."""

from __future__ import annotations

from collections.abc import Iterator

from lrp.ops.op import Op

__all__ = ["PAIRS", "lines"]

PAIRS = frozenset({"cdist", "dist", "hypot"})
"""Distances: homogeneous in two data operands together; with one they are written out."""

_HOMOGENEOUS = """
    var prod cumprod norm frobenius_norm nuclear_norm
    linalg_norm linalg_vector_norm linalg_matrix_norm linalg_svdvals
    norm_except_dim
"""
_COMPARISONS = "gt greater ge greater_equal lt less le less_equal eq ne not_equal isnan isinf isfinite signbit"


def lines() -> Iterator[Op]:
    """The lines, one for each operation."""
    for name in (*_HOMOGENEOUS.split(), *sorted(PAIRS)):
        yield Op(name, "homogeneous")
    for name in ("logsumexp", "logaddexp", "logaddexp2"):
        yield Op(name, "logsumexp")
    for name in ("pow", "__pow__", "__rpow__", "float_power", "square"):
        yield Op(name, "power")
    for name in _COMPARISONS.split():
        yield Op(name, "compare")
    for name in ("gt", "ge", "lt", "le", "eq", "ne"):
        yield Op(f"__{name}__", "compare")
