"""Functions that ask about a tensor, or make one of its shape, and hand on no data."""

from __future__ import annotations

import torch

__all__ = ["LIKE_ANOTHER", "METADATA"]

METADATA = (
    frozenset(
        getattr(torch.Tensor, name).__get__
        for name in (
            *("shape", "dtype", "device", "layout", "ndim", "names", "is_leaf", "requires_grad", "is_cuda", "is_cpu"),
            "grad_fn",
            *(
                "is_sparse",
                "is_mps",
                "is_meta",
                "is_quantized",
                "is_nested",
                "itemsize",
                "nbytes",
                "_version",
                "output_nr",
            ),
            *("retains_grad", "is_xpu", "is_mkldnn", "is_sparse_csr"),
        )
        if hasattr(torch.Tensor, name)
    )
    | frozenset(
        getattr(torch.Tensor, name)
        for name in (
            *(
                "size",
                "dim",
                "numel",
                "nelement",
                "stride",
                "is_contiguous",
                "is_floating_point",
                "is_complex",
                "__len__",
            ),
            *("element_size", "storage_offset", "data_ptr", "get_device", "is_inference", "is_signed", "ndimension"),
            *("untyped_storage", "__repr__", "__format__", "__hash__", "register_hook", "retain_grad"),
            *("new_zeros", "new_ones", "new_full", "new_empty", "new_tensor"),
        )
    )
    | frozenset(
        getattr(torch, f"{name}_like") for name in ("zeros", "ones", "full", "empty", "rand", "randn", "randint")
    )
)
"""Functions that ask about a tensor or make one of its shape, and hand on no data; they are called as they are."""

LIKE_ANOTHER = frozenset(
    getattr(torch.Tensor, name) for name in ("expand_as", "view_as", "reshape_as", "type_as", "to")
)
"""Methods that read the shape, the dtype or the device of another tensor, and nothing of its data."""
