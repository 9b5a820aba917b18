"""The table's lines for operations that move, pick or add up elements."""

from __future__ import annotations

from collections.abc import Iterator

from lrp.ops.op import Op

__all__ = ["DROPOUTS", "lines"]

_VIEWS = """
    view reshape flatten unflatten ravel transpose permute t movedim moveaxis swapaxes swapdims adjoint squeeze
    unsqueeze expand expand_as view_as reshape_as contiguous to float double half bfloat16 type type_as cpu cuda xpu
    chunk split split_with_sizes tensor_split unsafe_chunk unsafe_split unsafe_split_with_sizes hsplit vsplit dsplit
    unbind select narrow __getitem__ diagonal linalg_diagonal diag broadcast_to unfold __iter__ positive resolve_conj
    resolve_neg pin_memory
    T.__get__ mT.__get__ H.__get__ mH.__get__ requires_grad_
"""
_EACH = ("broadcast_tensors", "meshgrid", "atleast_1d", "atleast_2d", "atleast_3d")
_COPIES = """
    clone repeat tile flip fliplr flipud __reversed__ roll rot90 repeat_interleave index_select masked_select take
    take_along_dim gather embedding pixel_shuffle pixel_unshuffle channel_shuffle cartesian_prod
    combinations narrow_copy alias_copy diagonal_copy expand_copy permute_copy select_copy slice_copy
    split_copy split_with_sizes_copy squeeze_copy t_copy transpose_copy unbind_copy unfold_copy unsqueeze_copy view_copy
    fft_fftshift fft_ifftshift
"""
_FILLING = """
    cat concat concatenate stack hstack vstack dstack column_stack row_stack tril triu block_diag diag_embed diagflat
    diagonal_scatter select_scatter slice_scatter masked_scatter zero_
"""
_SELECTIONS = """
    max_pool1d max_pool2d max_pool3d max_pool1d_with_indices max_pool2d_with_indices max_pool3d_with_indices
    adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d adaptive_max_pool1d_with_indices
    adaptive_max_pool2d_with_indices adaptive_max_pool3d_with_indices max min amax amin aminmax topk sort msort
    median nanmedian kthvalue mode cummax cummin
"""
_FRACTIONAL = """
    fractional_max_pool2d fractional_max_pool3d fractional_max_pool2d_with_indices fractional_max_pool3d_with_indices
"""
_POOLS = """
    avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d
"""
DROPOUTS = (
    *("dropout", "dropout1d", "dropout2d", "dropout3d"),
    *("alpha_dropout", "feature_dropout", "feature_alpha_dropout"),
)
"""Dropout by all its names."""
_BY_CONSTANTS = """
    fft_fft fft_fft2 fft_fftn fft_ifft fft_ifft2 fft_ifftn fft_rfft fft_rfft2 fft_rfftn fft_irfft fft_irfft2 fft_irfftn
    fft_hfft fft_hfft2 fft_hfftn fft_ihfft fft_ihfft2 fft_ihfftn stft istft
    interpolate upsample upsample_nearest upsample_bilinear grid_sample grid_sampler grid_sampler_2d grid_sampler_3d
    affine_grid affine_grid_generator gradient trapz trapezoid cumulative_trapezoid
    real imag real.__get__ imag.__get__ conj conj_physical view_as_real view_as_complex view_as_real_copy
    cfloat cdouble chalf deg2rad rad2deg
"""


def lines() -> Iterator[Op]:
    """The lines, one for each operation."""
    yield Op("unfold", "reshape", fills=True, monotone=True, functional=True)
    for name in _VIEWS.split():
        yield Op(name, "reshape", view=True, monotone=True)
    for name in _EACH:
        yield Op(name, "reshape", view=True, monotone=True, each=True)
    for name in _COPIES.split():
        yield Op(name, "reshape", monotone=True)
    for name in _FILLING.split():
        yield Op(name, "reshape", fills=True, monotone=True)
    yield Op("pad", "reshape", fills=True, monotone=True, number=(3, "value"))
    yield Op("constant_pad_nd", "reshape", fills=True, monotone=True, number=(2, "value"))
    yield Op("copy_", "reshape", fills=True)
    yield Op("where", "reshape", fills=True, scalars=((1, "input"), (2, "other")))
    yield Op("masked_fill", "reshape", fills=True, scalars=((2, "value"),))
    yield Op("fill", "reshape", fills=True, scalars=((1, "value"),))
    yield Op("fill_diagonal_", "reshape", fills=True, number=(1, "fill_value"))
    yield from _puts()
    for name in _SELECTIONS.split():
        yield Op(name, "select", monotone=True)
    for name in ("quantile", "nanquantile", *_FRACTIONAL.split()):
        yield Op(name, "select", monotone=True, places=((0, "input"),))
    for name in _POOLS.split():
        yield Op(name, "pool", monotone=True)
    yield from _sums()
    for name in _BY_CONSTANTS.split():
        yield Op(name, "transform", places=((0, "input"), (0, "theta"), (0, "y")))
    # the memory it reads need not be laid out like that of a slot, so it is none of those that only move elements
    yield Op("as_strided", "transform", view=True, monotone=True)
    yield Op("as_strided_copy", "transform", monotone=True)
    yield Op("diff", "transform", places=((0, "input"), (3, "prepend"), (4, "append")))
    yield Op("complex", "transform", places=((0, "real"), (1, "imag")))
    for name in DROPOUTS:
        yield Op(name, "dropout", monotone=True)


def _puts() -> Iterator[Op]:
    """Elements put at indices: of several at one place the last stays, or their sum."""
    yield Op("__setitem__", "put", fills=True, scalars=((2, "value"),), values=(2, "value"))
    yield Op("index_fill", "put", fills=True, number=(3, "value"), values=(3, "value"))
    yield Op("index_copy", "put", fills=True, values=(3, "source"))
    yield Op("index_put", "put", fills=True, values=(2, "values"))
    yield Op("put", "put", fills=True, values=(2, "source"))
    yield Op("scatter", "put", fills=True, number=(3, "value"), values=(3, "src"))
    for name in ("max_unpool1d", "max_unpool2d", "max_unpool3d"):
        yield Op(name, "put", fills=True, values=(0, "input"))


def _sums() -> Iterator[Op]:
    for name in ("sum", "mean", "cumsum", "nansum", "nanmean", "sum_to_size", "trace", "fold"):
        yield Op(name, "reduce", monotone=True)
    for name in ("index_add", "scatter_add"):
        yield Op(name, "reduce", places=((0, "input"), (3, "source"), (3, "src")))
    for name in ("scatter_reduce", "index_reduce", "segment_reduce"):
        yield Op(name, "reduce", places=((0, "input"), (0, "data"), (3, "source"), (3, "src")))
