"""Steps of random networks with branches: sums, concatenations, products, gates, and modules used twice."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.cases.random_steps import BY_HAND, Call, Make, Step, builds


@builds
def residual(of: Step, h: Tensor, make: Make) -> nn.Module:
    """`h + body(h)`, or the difference; in place into the body's output or into `h`."""
    spelling, alpha = make.spelled(of), of["alpha"]
    body = make.branch(of.bodies[0], h)

    def into_body(s: Any, t: Tensor) -> Tensor:
        y = s.body(t)
        y *= alpha
        y += t
        return y

    functions: dict[str, Callable[[Any, Tensor], Tensor]] = {
        "module": lambda s, t: t + alpha * s.body(t),
        "function": lambda s, t: torch.add(t, s.body(t), alpha=alpha),
        "in place": lambda s, t: t.add_(s.body(t), alpha=alpha),
        "module in place": into_body,
        # not by stack and sum: an activation written by hand may go on behind it, and ends at what is not pointwise
        BY_HAND: lambda s, t: t.sub(-alpha * s.body(t)),
    }
    return Call(functions[spelling], body=body)


@builds
def concat(of: Step, h: Tensor, make: Make) -> nn.Module:
    body = make.branch(of.bodies[0], h)
    return Call(lambda s, t: torch.cat([s.body(t), t], 1), body=body)


@builds
def gated(of: Step, h: Tensor, make: Make) -> nn.Module:
    """`h` times a sigmoid or softmax of the body; `squeeze`: of what a mean over all but the channels leaves."""
    kind, squeeze, spelling = of["kind"], of["squeeze"], make.spelled(of)
    axes = tuple(range(2, h.dim()))
    small = h.mean(axes, keepdim=True) if squeeze and axes else h
    body = make.branch(of.bodies[0], small)
    gates: dict[str, Callable[[Tensor], Tensor]] = {
        "sigmoid": torch.sigmoid,
        "hardsigmoid": F.hardsigmoid,
        "softmax": lambda g: torch.softmax(g, 1),
    }

    def run(s: Any, t: Tensor) -> Tensor:
        g = gates[kind](s.body(t.mean(axes, keepdim=True) if squeeze and axes else t))
        if spelling == "in place":
            return t.mul_(g)
        return torch.mul(g, t) if spelling == "module" else t * g

    return Call(run, body=body)


@builds
def product(of: Step, h: Tensor, make: Make) -> nn.Module:
    """Two bodies, or `h` and a body, multiplied element by element."""
    bodies = nn.ModuleList(make.branch(body, h) for body in of.bodies)
    in_place = make.spelled(of) == "in place"

    def run(s: Any, t: Tensor) -> Tensor:
        a, b = (s.bodies[0](t), s.bodies[1](t)) if len(s.bodies) > 1 else (s.bodies[0](t), t)
        return a.mul_(b) if in_place else a * b

    return Call(run, bodies=bodies)


@builds
def contraction(of: Step, h: Tensor, make: Make) -> nn.Module:
    """`body(h) h^T h` over the last two axes: matrix products of data, kept from growing beyond all numbers."""
    body, spelling = make.branch(of.bodies[0], h), make.spelled(of)
    scale = 1 / max(float(h.abs().max()), 1.0) ** 2

    def run(s: Any, t: Tensor) -> Tensor:
        y, shape = s.body(t), t.shape
        y, t = scale * y.reshape(len(t), -1, shape[-1]), t.reshape(len(t), -1, shape[-1])
        if spelling == "in place":
            return torch.einsum("nij,nkj,nkl->nil", y, t, t).reshape(shape)
        if spelling == "module":
            return y.bmm(t.transpose(1, 2)).bmm(t).reshape(shape)
        return (y @ t.mT @ t).reshape(shape)

    return Call(run, body=body)


@builds
def divided(of: Step, h: Tensor, make: Make) -> nn.Module:
    """`h` over a denominator of data: `1 + |body|`, its length, or its spread."""
    kind, spelling, body = of["kind"], make.spelled(of), make.branch(of.bodies[0], h)
    denominators: dict[str, Callable[[Any, Tensor], Tensor]] = {
        "body": lambda s, t: 1 + s.body(t).abs(),
        "length": lambda s, t: t.norm(dim=-1, keepdim=True) + 0.1,
        "deviation": lambda s, t: (t.var(-1, keepdim=True, correction=0) + 0.1).sqrt(),
    }

    def run(s: Any, t: Tensor) -> Tensor:
        d = denominators[kind](s, t)
        if spelling == "in place":
            return t.div_(d)
        return t * d.reciprocal() if spelling == "module" else t / d

    return Call(run, body=body)


@builds
def statistic(of: Step, h: Tensor, make: Make) -> nn.Module:
    """A homogeneous function of the last axis beside the data it is of."""
    functions: dict[str, Callable[[Tensor], Tensor]] = {
        "norm": lambda t: torch.linalg.vector_norm(t, dim=-1, keepdim=True),
        "std": lambda t: t.std(-1, keepdim=True, correction=0),
        "var": lambda t: t.var(-1, keepdim=True, correction=0),
        "logsumexp": lambda t: t.logsumexp(-1, keepdim=True),
        "prod": lambda t: t.prod(-1, keepdim=True),
    }
    function = functions[of["of"]]
    return Call(lambda _, t: torch.cat([t, function(t)], -1))


@builds
def softmax(of: Step, h: Tensor, make: Make) -> nn.Module:
    """A softmax as values, or as weights of an average."""
    weights = of["weights"]
    return Call(lambda _, t: t * torch.softmax(t, -1) if weights else torch.softmax(t, -1))


@builds
def twice(of: Step, h: Tensor, make: Make) -> nn.Module:
    """One module used twice, side by side and, where its output fits, once more on what it made."""
    body, y, owned = make.chain(of.bodies[0], h)
    if not owned:
        body.append(Call(lambda _, t: t.clone()))
    again = copy.deepcopy(body) if make.unrolled else body
    in_a_row = of["in_a_row"] and y.shape == h.shape
    if in_a_row:
        return Call(lambda s, t: s.again(s.body(t)), body=body, again=again)
    return Call(lambda s, t: s.body(t) - 2 * s.again(t.flip(-1)), body=body, again=again)


@builds
def overwritten(of: Step, h: Tensor, make: Make) -> nn.Module:
    """What a body read is overwritten before the two are added: the body must remember what it read."""
    body, in_place = make.branch(of.bodies[0], h), "in place" in make.spelled(of)

    def run(s: Any, t: Tensor) -> Tensor:
        y = s.body(t)
        return y + (t.relu_().mul_(3) if in_place else t.relu() * 3)

    return Call(run, body=body)
