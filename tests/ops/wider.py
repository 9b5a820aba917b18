"""The wider circle of operations: copies of views, puts at indices, sums into places, FFT, complex, interpolation."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from tests.cases.networks import signed
from tests.ops.operations import MASK, ROWS, C, Operation, S, last, set_item, written

TWO = torch.tensor([2, 0])
TWICE = torch.tensor([1, 1])
SIX = torch.tensor([[0, 2, 1], [1, 1, 0]]).unsqueeze(-1).expand(2, 3, 4)
GRID = signed(2, 3, 3, 2, seed=71).clamp(-1.2, 1.2)
WINDOW = signed(6, seed=72).abs() + 0.1
DRAWN = torch.full((1, 2, 2), 0.3, dtype=torch.float64)
DRAWN3, DEEP = torch.full((1, 2, 3), 0.3, dtype=torch.float64), (1, 2, 3, 4, 4)
VALUE = torch.tensor(0.75, dtype=torch.float64)


def floats(z: Tensor) -> Tensor:
    """A complex result as real numbers."""
    return torch.view_as_real(z.resolve_conj()) if z.is_complex() else z


def spectrum(x: Tensor) -> Tensor:
    return torch.fft.rfft(x)


def unpooled(function: object, size: int) -> Operation:
    """Two values to places, one of them taken twice: the last stays."""
    shape = (1, 1, *[2] * size)
    places = torch.arange(2**size).flip(0).view(shape).clone()
    places.view(-1)[0] = places.view(-1)[1]
    return (lambda x: function(x, places, 2, 2), shape)


MOVING: dict[str, Operation] = {
    "linalg.diagonal": (lambda x: torch.linalg.diagonal(x), S),
    "meshgrid": (lambda x: last(torch.meshgrid(x, x.flip(0), indexing="ij")), (3,)),
    "resolve_conj": (lambda x: x.resolve_conj().resolve_neg() * 1.0, S),
    "reversed": (lambda x: torch.Tensor.__reversed__(x), S),
    "native_channel_shuffle": (lambda x: torch.native_channel_shuffle(x, 2), (1, 4, 2, 2)),
    "cartesian_prod": (lambda x: torch.cartesian_prod(x, x.flip(0)), (3,)),
    "combinations": (lambda x: torch.combinations(x, 2, with_replacement=True), (4,)),
    "narrow_copy": (lambda x: torch.narrow_copy(x, 2, 1, 2), S),
    "alias_copy": (lambda x: torch.alias_copy(x), S),
    "diagonal_copy": (lambda x: torch.diagonal_copy(x, 0, 1, 2), S),
    "expand_copy": (lambda x: torch.expand_copy(x, (2, 3, 4)), (3, 1)),
    "permute_copy": (lambda x: torch.permute_copy(x, (2, 0, 1)), S),
    "select_copy": (lambda x: torch.select_copy(x, 1, 2), S),
    "slice_copy": (lambda x: torch.slice_copy(x, 2, 1, 3), S),
    "split_copy": (lambda x: last(torch.split_copy(x, 2, 2)), S),
    "split_with_sizes_copy": (lambda x: last(torch.split_with_sizes_copy(x, [1, 3], 2)), S),
    "unsafe_split_with_sizes": (lambda x: last(torch.unsafe_split_with_sizes(x, [1, 3], 2)), S),
    "squeeze_copy": (lambda x: torch.squeeze_copy(x), (2, 1, 3)),
    "t_copy": (lambda x: torch.t_copy(x), (2, 3)),
    "transpose_copy": (lambda x: torch.transpose_copy(x, 0, 2), S),
    "unbind_copy": (lambda x: last(torch.unbind_copy(x, 1)), S),
    "unfold_copy": (lambda x: torch.unfold_copy(x, 2, 2, 1), S),
    "unsqueeze_copy": (lambda x: torch.unsqueeze_copy(x, 1), S),
    "view_copy": (lambda x: torch.view_copy(x, (6, 4)), S),
    "fftshift": (lambda x: torch.fft.ifftshift(torch.fft.fftshift(x), dim=1), S),
}
FILLING: dict[str, Operation] = {
    "F.unfold": (lambda x: F.unfold(x, 2, padding=1, stride=2), (2, 2, 3, 3)),
    "block_diag": (lambda x: torch.block_diag(x, C[0], x.t()), (2, 3)),
    "diag_embed": (lambda x: torch.diag_embed(x, 1), S),
    "diagflat": (lambda x: torch.diagflat(x, -1), (2, 2)),
    "diagonal_scatter": (lambda x: torch.diagonal_scatter(x, C[:, :, 0], 0, 1, 2), S),
    "diagonal_scatter-into-constant": (lambda x: torch.diagonal_scatter(C, x, 0, 1, 2), (2, 3)),
    "select_scatter": (lambda x: torch.select_scatter(x, C[:, 0], 1, 2), S),
    "slice_scatter": (lambda x: torch.slice_scatter(x, x[..., 1:3].clone(), 2, 1, 3), S),
    "masked_scatter": (lambda x: x.masked_scatter(C > 0.5, C.flip(2)), S),
    "masked_scatter_": (written(lambda y: y.masked_scatter_(C > 0.5, C.flip(2))), S),
    "masked_scatter-data": (lambda x: C.masked_scatter(MASK, x), S),
    "zero_": (lambda x: torch.cat([x, written(lambda y: y.zero_())(x)]), S),
    "fill_": (lambda x: torch.cat([x, written(lambda y: y[0].fill_(2.0))(x)]), S),
    "fill": (lambda x: torch.cat([x, torch.fill(x, 2.0)]), S),
    "fill_diagonal_": (written(lambda y: y.fill_diagonal_(1.5)), (3, 3)),
    "index_fill": (lambda x: x.index_fill(2, TWICE, 1.5), S),
    "index_fill_": (written(lambda y: y.index_fill_(1, TWO, -1.5)), S),
    "index_fill-tensor": (lambda x: torch.index_fill(x, 1, TWICE, VALUE), S),
    "index_copy": (lambda x: torch.index_copy(x, 1, TWO, C[:, :2]), S),
    "index_copy-twice": (lambda x: C.index_copy(1, TWICE, x), (2, 2, 4)),
    "index_copy_": (written(lambda y: y.index_copy_(1, TWICE, y[:, 1:].clone())), S),
    "index_put": (lambda x: x.index_put((TWO % 2, TWO), C[:, 0]), S),
    "index_put-twice": (lambda x: torch.index_put(C, (TWICE, TWICE), x), (2, 4)),
    "index_put-mask": (lambda x: x.index_put((C > 0.5,), VALUE), S),
    "index_put_": (written(lambda y: y.index_put_((TWICE, TWO), y[0, 0].clone())), S),
    "put": (lambda x: torch.put(x, torch.tensor([3, 5, 3]), C[0, :, 0]), S),
    "put_": (written(lambda y: y.put_(torch.tensor([3, 5, 3]), y[0, 0, :3].clone())), S),
    "scatter": (lambda x: torch.scatter(C, 1, SIX, x), S),
    "scatter-constant": (lambda x: x.scatter(1, SIX, C), S),
    "scatter-number": (lambda x: x.scatter(1, SIX[:, :2], 1.25), S),
    "scatter_": (written(lambda y: y.scatter_(1, SIX, y.flip(2))), S),
    "scatter_-number": (written(lambda y: y.scatter_(1, SIX[:, :2], -1.25)), S),
    "setitem-twice": (set_item((slice(None), TWICE), C[:, :2]), S),
    "setitem-list": (written(lambda y: y.__setitem__((0, [1, 1, 2]), y[1, 0].clone())), S),
    "setitem-number-twice": (set_item((TWICE, TWO), 0.5), S),
    "max_unpool1d": unpooled(F.max_unpool1d, 1),
    "max_unpool2d": unpooled(F.max_unpool2d, 2),
    "max_unpool3d": unpooled(F.max_unpool3d, 3),
}
ADDING: dict[str, Operation] = {
    "as_strided": (lambda x: x.as_strided((3, 2), (2, 1), 2), S),
    "as_strided_copy": (lambda x: torch.as_strided_copy(x, (3, 2), (4, 1)), S),
    "nansum": (lambda x: torch.nansum(x, 1), S),
    "nanmean": (lambda x: x.nanmean(), S),
    "sum_to_size": (lambda x: x.sum_to_size(3, 1), S),
    "trace": (lambda x: torch.trace(x), (3, 3)),
    "fold": (lambda x: F.fold(x, (3, 3), 2), (1, 8, 4)),
    "index_add": (lambda x: torch.index_add(x, 1, TWICE, C[:, :2], alpha=3), S),
    "index_add-data": (lambda x: C.index_add(1, torch.tensor([0, 2, 0]), x), S),
    "index_add_": (written(lambda y: y.index_add_(1, TWICE, y[:, :2] * 1.0)), S),
    "index_add_-into-constant": (lambda x: torch.ones(2, 3, 4).double().index_add_(1, torch.tensor([1, 1, 1]), x), S),
    "scatter_add": (lambda x: torch.scatter_add(C, 1, SIX, x), S),
    "scatter_add_": (written(lambda y: y.scatter_add_(1, SIX, C)), S),
    "index_put-accumulate": (lambda x: C.index_put((TWICE, TWO), x, accumulate=True), (2, 4)),
    "put-accumulate": (lambda x: torch.put(C, torch.tensor([3, 5, 3]), x, True), (3,)),
    "scatter_reduce-sum": (lambda x: C.scatter_reduce(1, SIX, x, "sum"), S),
    "scatter_reduce-mean": (lambda x: x.scatter_reduce(1, SIX, x.flip(2), "mean", include_self=False), S),
    "index_reduce-mean": (lambda x: x.index_reduce(1, TWICE, C[:, :2], "mean"), S),
    "segment_reduce-sum": (lambda x: torch.segment_reduce(x, "sum", lengths=torch.tensor([1, 3])), (4, 2)),
    "segment_reduce-mean": (lambda x: torch.segment_reduce(x, "mean", lengths=torch.tensor([1, 3])), (4, 2)),
    "diff": (lambda x: torch.diff(x, n=2, dim=1, prepend=C[:, :1]), S),
    "gradient": (lambda x: torch.gradient(x, spacing=2.0, dim=2)[0], S),
    "trapz": (lambda x: torch.trapz(x, dx=0.5), S),
    "trapezoid": (lambda x: torch.trapezoid(x, C.cumsum(2)), S),
    "cumulative_trapezoid": (lambda x: torch.cumulative_trapezoid(x, C[0, 0], dim=2), S),
    "deg2rad": (lambda x: torch.deg2rad(x), S),
    "rad2deg": (lambda x: torch.rad2deg(x), S),
    "interpolate-nearest": (lambda x: F.interpolate(x, scale_factor=1.5), S),
    "interpolate-linear": (lambda x: F.interpolate(x, 7, mode="linear", align_corners=True), S),
    "interpolate-bilinear": (lambda x: F.interpolate(x, (5, 2), mode="bilinear", antialias=True), (1, 2, 3, 4)),
    "interpolate-bicubic": (lambda x: F.interpolate(x, (5, 7), mode="bicubic"), (1, 2, 3, 4)),
    "interpolate-trilinear": (lambda x: F.interpolate(x, scale_factor=2, mode="trilinear"), (1, 1, 2, 2, 3)),
    "interpolate-area": (lambda x: F.interpolate(x, 2, mode="area"), S),
    "grid_sample": (lambda x: F.grid_sample(x, GRID, align_corners=False), (2, 2, 3, 4)),
    "grid_sample-bicubic": (lambda x: F.grid_sample(x, GRID, "bicubic", "reflection", False), (2, 2, 3, 4)),
    "grid_sampler": (lambda x: torch.grid_sampler(x, GRID, 0, 1, True), (2, 2, 3, 4)),
    "grid_sampler_2d": (lambda x: torch.grid_sampler_2d(x, GRID, 0, 0, True), (2, 2, 3, 4)),
    "grid_sampler_3d": (
        lambda x: torch.grid_sampler_3d(x, signed(1, 2, 2, 2, 3, seed=9), 0, 0, True),
        (1, 2, 2, 3, 2),
    ),
    "affine_grid": (lambda x: F.affine_grid(x, [2, 1, 3, 4], align_corners=False), (2, 2, 3)),
    "affine_grid_generator": (lambda x: torch.affine_grid_generator(x, [2, 1, 3, 4], True), (2, 2, 3)),
}
FOURIER: dict[str, Operation] = {
    "fft": (lambda x: floats(torch.fft.fft(x)), S),
    "ifft": (lambda x: torch.fft.ifft(torch.fft.fft(x), n=3).real, S),
    "fft2": (lambda x: floats(torch.fft.fft2(x, norm="ortho")), S),
    "ifft2": (lambda x: torch.imag(torch.fft.ifft2(x)), S),
    "fftn": (lambda x: floats(torch.fft.fftn(x)), S),
    "ifftn": (lambda x: torch.real(torch.fft.ifftn(x)), S),
    "rfft": (lambda x: floats(spectrum(x)), S),
    "irfft": (lambda x: torch.fft.irfft(spectrum(x), n=5), S),
    "rfft2": (lambda x: torch.fft.irfft2(torch.fft.rfft2(x)), S),
    "rfftn": (lambda x: torch.fft.irfftn(torch.fft.rfftn(x)), S),
    "hfft": (lambda x: torch.fft.hfft(spectrum(x)), S),
    "hfft2": (lambda x: torch.fft.hfft2(torch.fft.ihfft2(x)), S),
    "hfftn": (lambda x: torch.fft.hfftn(torch.fft.ihfftn(x)), S),
    "ihfft": (lambda x: torch.fft.ihfft(x).imag, S),
    "stft": (lambda x: floats(torch.stft(x, 6, 2, window=WINDOW, return_complex=True)), (2, 12)),
    "istft": (
        lambda x: torch.istft(torch.stft(x, 6, 2, window=WINDOW, return_complex=True), 6, 2, window=WINDOW),
        (2, 12),
    ),
    "complex": (lambda x: floats(torch.complex(x, C)), S),
    "complex-imaginary": (lambda x: torch.complex(C, x).imag, S),
    "polar": (lambda x: floats(torch.polar(x, C)), S),
    "conj": (lambda x: torch.conj(spectrum(x)).imag, S),
    "conj_physical": (lambda x: torch.conj_physical(spectrum(x)).imag, S),
    "view_as_complex": (lambda x: torch.view_as_complex(x.reshape(2, 3, 2, 2)).imag, S),
    "view_as_real_copy": (lambda x: torch.view_as_real_copy(spectrum(x)), S),
    "cdouble": (lambda x: (x.cdouble() * 1j).imag, S),
    "complex-plus-number": (lambda x: (spectrum(x) + (1 + 2j)).imag, S),
    "complex-plus-constant": (lambda x: floats(spectrum(x) - torch.fft.rfft(C)), S),
    "complex-times-constant": (lambda x: floats(spectrum(x) * torch.fft.rfft(C)), S),
    "complex-moved": (lambda x: floats(torch.cat([spectrum(x), torch.fft.rfft(C)]).flip(1).sum(0)), S),
}
SELECTING: dict[str, Operation] = {
    "fractional_max_pool2d": (lambda x: F.fractional_max_pool2d(x, 2, (2, 2), _random_samples=DRAWN), (1, 2, 4, 4)),
    "fractional_max_pool3d": (lambda x: F.fractional_max_pool3d(x, 2, (1, 2, 2), _random_samples=DRAWN3), DEEP),
    "fractional_max_pool2d_with_indices": (
        lambda x: F.fractional_max_pool2d_with_indices(x, 2, (2, 2), _random_samples=DRAWN)[0],
        (1, 2, 4, 4),
    ),
    "fractional_max_pool3d_with_indices": (
        lambda x: F.fractional_max_pool3d_with_indices(x, 2, (1, 2, 2), _random_samples=DRAWN3)[0],
        DEEP,
    ),
    "msort": (lambda x: torch.msort(x), S),
    "aminmax": (lambda x: last(torch.aminmax(x, dim=1)), S),
    "median": (lambda x: x.median(2).values, S),
    "nanmedian": (lambda x: torch.nanmedian(x), S),
    "kthvalue": (lambda x: x.kthvalue(2, dim=2).values, S),
    "mode": (lambda x: torch.mode(x, 1)[0], S),
    "cummax": (lambda x: torch.cummax(x, 2).values, S),
    "cummin": (lambda x: torch.cummin(x, 2)[0], S),
    "quantile": (lambda x: torch.quantile(x, torch.tensor([0.2, 0.9], dtype=x.dtype), dim=1), S),
    "nanquantile": (lambda x: torch.nanquantile(x, 0.3), S),
    "scatter_reduce-amax": (lambda x: x.scatter_reduce(1, SIX, x.flip(1), "amax"), S),
    "index_reduce-amin": (lambda x: x.index_reduce(1, TWICE, x[:, :2] * 2.0, "amin"), S),
    "segment_reduce-max": (lambda x: torch.segment_reduce(x, "max", lengths=torch.tensor([1, 3])), (4, 2)),
    "scatter_reduce_-into-zeros": (
        lambda x: x.new_zeros(2, 3, 4).scatter_reduce_(1, SIX, x, "amax", include_self=False),
        S,
    ),
    "argsort-gather": (lambda x: x.gather(1, x.argsort(1)), S),
    "take-argmax": (lambda x: x[torch.arange(2), x[:, :, 0].argmax(1)], S),
    "rows": (lambda x: torch.take_along_dim(x, ROWS.unsqueeze(-1), 1), S),
}
