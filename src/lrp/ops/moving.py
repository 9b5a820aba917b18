"""The table's lines for operations that move, pick or add up elements."""

from __future__ import annotations

from collections.abc import Iterator

from lrp.ops.op import Op

__all__ = ["DROPOUTS", "lines"]

_VIEWS = """
    view reshape flatten unflatten ravel transpose permute t movedim moveaxis swapaxes swapdims adjoint squeeze
    unsqueeze expand expand_as view_as reshape_as contiguous to float double half bfloat16 type type_as cpu cuda
    chunk split split_with_sizes tensor_split unsafe_chunk unsafe_split hsplit vsplit dsplit unbind select narrow
    __getitem__ diagonal diag broadcast_to broadcast_tensors atleast_1d atleast_2d atleast_3d unfold __iter__
    positive T.__get__ mT.__get__ H.__get__ mH.__get__ requires_grad_
"""
_COPIES = """
    clone repeat tile flip fliplr flipud roll rot90 repeat_interleave index_select masked_select take
    take_along_dim gather embedding pixel_shuffle pixel_unshuffle channel_shuffle
"""
_SELECTIONS = """
    max_pool1d max_pool2d max_pool3d max_pool1d_with_indices max_pool2d_with_indices max_pool3d_with_indices
    adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d adaptive_max_pool1d_with_indices
    adaptive_max_pool2d_with_indices adaptive_max_pool3d_with_indices max min amax amin topk sort
"""
_POOLS = """
    avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d
"""
DROPOUTS = (
    *("dropout", "dropout1d", "dropout2d", "dropout3d"),
    *("alpha_dropout", "feature_dropout", "feature_alpha_dropout"),
)
"""Dropout by all its names."""


def lines() -> Iterator[Op]:
    """The lines, one for each operation."""
    for name in _VIEWS.split():
        yield Op(name, "reshape", view=True, monotone=True)
    for name in _COPIES.split():
        yield Op(name, "reshape", monotone=True)
    for name in ("cat", "concat", "concatenate", "stack", "hstack", "vstack", "dstack", "column_stack", "row_stack"):
        yield Op(name, "reshape", fills=True, monotone=True)
    for name in ("tril", "triu"):
        yield Op(name, "reshape", fills=True, monotone=True)
    yield Op("pad", "reshape", fills=True, number=(3, "value"))
    yield Op("constant_pad_nd", "reshape", fills=True, number=(2, "value"))
    yield Op("__setitem__", "reshape", fills=True, scalars=((2, "value"),))
    yield Op("copy_", "reshape", fills=True)
    yield Op("where", "reshape", fills=True, scalars=((1, "input"), (2, "other")))
    yield Op("masked_fill", "reshape", fills=True, scalars=((2, "value"),))
    for name in _SELECTIONS.split():
        yield Op(name, "select", monotone=True)
    for name in _POOLS.split():
        yield Op(name, "pool", monotone=True)
    for name in ("sum", "mean", "cumsum"):
        yield Op(name, "reduce", monotone=True)
    for name in DROPOUTS:
        yield Op(name, "dropout", monotone=True)
