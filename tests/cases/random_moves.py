"""Steps of random networks that move, pick, add up or pool elements, or bring constants in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.cases.random_steps import VIEWS, Call, Make, Step, builds

VIEWS |= {"view", "dropout"}

# --- pooling ----------------------------------------------------------------------------------------------------------


@builds
def pool(of: Step, h: Tensor, make: Make) -> nn.Module:
    """Average or max pooling; windows may overlap, be padded, be cut off, or (max) be dilated."""
    axes, kind, smallest = h.dim() - 2, of["kind"], min(h.shape[2:])
    kernel = min(of["kernel"], smallest)
    padding = min(of["padding"], kernel // 2)
    options: dict[str, Any] = {"stride": of["stride"], "padding": padding, "ceil_mode": of["ceil"]}
    if kind == "max" and (kernel - 1) * of["dilation"] < smallest + 2 * padding:
        options["dilation"] = of["dilation"]
    if kind == "avg":
        options["count_include_pad"] = of["dilation"] == 1
    modules: dict[str, list[Any]] = {"avg": [nn.AvgPool1d, nn.AvgPool2d], "max": [nn.MaxPool1d, nn.MaxPool2d]}
    functions: dict[str, list[Any]] = {"avg": [F.avg_pool1d, F.avg_pool2d], "max": [F.max_pool1d, F.max_pool2d]}
    if "module" in make.spelled(of):
        return modules[kind][axes - 1](kernel, **options)
    function = functions[kind][axes - 1]
    return Call(lambda _, t: function(t, kernel, **options))


@builds
def adaptive_pool(of: Step, h: Tensor, make: Make) -> nn.Module:
    axes, kind, size = h.dim() - 2, of["kind"], of["size"]
    modules: dict[str, list[Any]] = {
        "avg": [nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d],
        "max": [nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d],
    }
    functions: dict[str, list[Any]] = {
        "avg": [F.adaptive_avg_pool1d, F.adaptive_avg_pool2d],
        "max": [F.adaptive_max_pool1d, F.adaptive_max_pool2d],
    }
    if "module" in make.spelled(of):
        return modules[kind][axes - 1](size)
    function = functions[kind][axes - 1]
    return Call(lambda _, t: function(t, size))


# --- moving, picking, adding up ---------------------------------------------------------------------------------------


def _last(h: Tensor) -> int:
    return h.shape[-1]


MOVES: dict[str, Callable[[Tensor], Tensor]] = {
    "flip": lambda h: h.flip(-1),
    "roll": lambda h: h.roll(1, 1),
    "index": lambda h: h[:, torch.arange(h.shape[1]).flip(0).repeat(2)[1 : h.shape[1] + 2]],
    "mask": lambda h: h[:, torch.arange(h.shape[1]) != 1] if h.shape[1] > 1 else h + 0,
    "gather": lambda h: h.gather(-1, (torch.arange(_last(h)) * 2 % _last(h)).expand_as(h)),
    "repeat_interleave": lambda h: h.repeat_interleave(2, 1)[:, 1:],
    "chunk_cat": lambda h: torch.cat(h.chunk(2, 1)[::-1], 1),
    "unbind_stack": lambda h: torch.stack(h.unbind(-1)[::-1], -1),
    "pad_zero": lambda h: F.pad(h, (1, 1)),
    "pad_value": lambda h: F.pad(h, (0, 1), value=0.7),
    "cumsum": lambda h: h.cumsum(-1),
    "sort": lambda h: h.sort(-1).values,
    "topk": lambda h: h.topk(min(2, _last(h)), -1).values,
    "amax": lambda h: torch.cat([h, h.amax(-1, keepdim=True)], -1),
    "centre": lambda h: h - h.mean(-1, keepdim=True),
    "sum": lambda h: h - 0.3 * h.sum(1, keepdim=True),
    "max_of_shifted": lambda h: torch.maximum(h, h.roll(1, -1)),
    "tril": lambda h: h.tril() if h.dim() > 2 else h + 0,  # of flat data it would tell samples apart
}
LINEAR_MOVES = tuple(name for name in MOVES if name != "pad_value")
"""Those that bring no constant in."""
VIEW_MOVES: dict[str, Callable[[Tensor], Tensor]] = {
    "same": lambda h: h,
    "slice": lambda h: h[:, : max(1, h.shape[1] - 1)],
    "stride": lambda h: h[..., ::2],
    "transpose": lambda h: h.transpose(1, -1),
    "narrow": lambda h: h.narrow(-1, 0, (_last(h) + 1) // 2),
    "unsqueeze": lambda h: h.unsqueeze(1).squeeze(1),
    "reshape": lambda h: h.flatten(1).view_as(h),
}


@builds
def move(of: Step, h: Tensor, make: Make) -> nn.Module:
    function = MOVES[of["of"]]
    return Call(lambda _, t: function(t))


@builds
def view(of: Step, h: Tensor, make: Make) -> nn.Module:
    function = VIEW_MOVES[of["of"]]
    return Call(lambda _, t: function(t))


@builds
def dropout(of: Step, h: Tensor, make: Make) -> nn.Module:
    return nn.Dropout(0.5) if "module" in make.spelled(of) else Call(lambda _, t: F.dropout(t, 0.5, False))


# --- constants --------------------------------------------------------------------------------------------------------


@builds
def constant(of: Step, h: Tensor, make: Make) -> nn.Module:
    """A constant added, subtracted from, multiplied with, or divided by: like one sample, one channel, or a number."""
    shape = {"sample": h.shape[1:], "channel": (h.shape[1], *[1] * (h.dim() - 2)), "number": ()}[of["shape"]]
    c, how = make.positive(*shape), of["how"]
    if of["shape"] == "number":
        c = c.item()
    in_place = make.spelled(of) == "in place"
    functions: dict[str, Callable[[Any, Tensor], Tensor]] = {
        "add": lambda s, t: t.add_(s.c) if in_place else t + s.c,
        "sub": lambda s, t: t.sub_(s.c) if in_place else t - s.c,
        "rsub": lambda s, t: s.c - t,
        "mul": lambda s, t: t.mul_(s.c) if in_place else t * s.c,
        "div": lambda s, t: t.div_(s.c) if in_place else t / s.c,
    }
    return Call(functions[how], c=c)


@builds
def beside(of: Step, h: Tensor, make: Make) -> nn.Module:
    """A constant concatenated in front of or behind the channels."""
    c, first = make.normal(1, *h.shape[2:]), of["first"]

    def run(s: Any, t: Tensor) -> Tensor:
        c = s.c.expand(len(t), *s.c.shape)
        return torch.cat([c, t] if first else [t, c], 1)

    return Call(run, c=c)


@builds
def write(of: Step, h: Tensor, make: Make) -> nn.Module:
    """Elements overwritten: the first channel by a number, by a constant or by another channel; or under a mask."""
    c, how = make.normal(*h.shape[2:]), of["how"]
    mask = torch.arange(h.shape[-1]) % 2 == 1
    spelling = make.spelled(of)

    def value(s: Any, t: Tensor) -> Any:
        return {"number": 0.5, "zero": 0, "constant": s.c, "data": t[:, -1] * 2}[how]

    if how in ("mask", "where"):
        filling = 0.5 if how == "mask" else c
        if spelling == "in place" and how == "mask":
            return Call(lambda s, t: t.masked_fill_(s.mask, 0.5), mask=mask)
        return Call(lambda s, t: torch.where(s.mask, s.c if how == "where" else filling, t), c=c, mask=mask)
    if spelling == "in place":

        def set_item(s: Any, t: Tensor) -> Tensor:
            t[:, 0] = value(s, t)
            return t

        return Call(set_item, c=c)
    if spelling == "module in place":

        def copied(s: Any, t: Tensor) -> Tensor:
            t[:, 0].copy_(torch.as_tensor(value(s, t), dtype=t.dtype))
            return t

        return Call(copied, c=c)
    if spelling == "module":

        def into_buffer(s: Any, t: Tensor) -> Tensor:
            buffer = torch.full_like(t, 3.0)
            buffer[:, 1:] = t[:, 1:]
            buffer[:, 0] = value(s, t)
            return buffer

        return Call(into_buffer, c=c)

    def concatenated(s: Any, t: Tensor) -> Tensor:
        first = torch.as_tensor(value(s, t), dtype=t.dtype).expand_as(t[:, 0]).unsqueeze(1)
        return torch.cat([first, t[:, 1:]], 1)

    return Call(concatenated, c=c)
