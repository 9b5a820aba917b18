"""Composites: ordered lists of (selector, rule), where the first match wins."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Protocol

from lrp.errors import CompositeError
from lrp.ops.table import same
from lrp.rules.base import Rule
from lrp.rules.linear import Zero
from lrp.rules.pointwise import Gate
from lrp.rules.product import Uniform
from lrp.rules.softmax import Constant, Taylor

__all__ = ["Composite", "Selector", "on"]

DEFAULTS: dict[str, Rule] = {
    "activation": Gate(),
    "product": Uniform(),
    "softmax": Taylor(),
    "normaliser": Constant(),
}
"""The rule of a family that no entry matched; LRP-0 for all others."""


class Selectable(Protocol):
    """What a selector may ask of an op call."""

    path: str
    family: str
    function: Any
    first: bool
    last: bool
    module_types: tuple[type, ...]
    attention: bool
    nth: int
    scan: bool

    def residual(self) -> bool: ...


@dataclass(frozen=True)
class Selector:
    """Says which op calls an entry of a composite means; combine selectors with `&`, `|` and `~`; a module
    path may stand for a selector in them.

    >>> from lrp import on
    >>> print(on.first & on.conv)
    first & conv
    """

    text: str
    matches: Callable[[Selectable], bool]
    planned: bool = False
    """Whether it asks what is known only after a forward pass."""

    def __and__(self, other: Selector | str) -> Selector:
        return _both(self, _selector(other))

    def __rand__(self, other: str) -> Selector:
        return _both(_selector(other), self)

    def __or__(self, other: Selector | str) -> Selector:
        return _either(self, _selector(other))

    def __ror__(self, other: str) -> Selector:
        return _either(_selector(other), self)

    def __invert__(self) -> Selector:
        return Selector(f"~({self})", lambda call: not self.matches(call), self.planned)

    def __str__(self) -> str:
        return self.text


def _both(left: Selector, right: Selector) -> Selector:
    planned = left.planned or right.planned
    return Selector(f"{left} & {right}", lambda call: left.matches(call) and right.matches(call), planned)


def _either(left: Selector, right: Selector) -> Selector:
    planned = left.planned or right.planned
    return Selector(f"({left} | {right})", lambda call: left.matches(call) or right.matches(call), planned)


def _family(*families: str) -> Selector:
    return Selector(families[0], lambda call: call.family in families)


class on:
    """Selectors by what an op call is.

    `first`: linear and convolution calls with a source above and no other such call between, the first of each branch.
    `last`: linear and convolution calls that lead to the target and to no other such call, the last of each branch; to
    know them costs one forward pass more.
    `linear`, `conv`, `norm`, `sum`, `product`, `softmax`, `activation`, `embedding`: families of operations. `pool`:
    average pooling, mean and sum over axes. `residual`: additions of a tensor and something made of it.
    `attention`: fused attention with the products and the softmax in it, and matrix products with what came out of a
    softmax or sigmoid. `op(function)`: calls of one operation, however spelled. `module(type)`: calls made in modules
    of a type. `scan`: calls that a selective state-space model's mixer makes itself, which is a module with
    parameters `A_log` and `D`.
    """

    first = Selector("first", lambda call: call.first)
    last = Selector("last", lambda call: call.last, planned=True)
    linear = _family("linear")
    conv = _family("conv")
    norm = _family("norm", "normaliser")
    sum = _family("sum")
    residual = Selector("residual", lambda call: call.family == "sum" and call.residual())
    product = _family("product")
    softmax = _family("softmax")
    activation = _family("activation")
    pool = _family("pool", "reduce")
    attention = Selector("attention", lambda call: call.attention)
    embedding = _family("embedding")
    scan = Selector("scan", lambda call: call.scan)

    @staticmethod
    def op(function: Callable[..., Any], nth: int | None = None) -> Selector:
        """Calls of one operation: its function, its method, its operator and its in-place twins are one.

        Args:
            function: the operation.
            nth: only the n-th of them, from 0, that a module makes itself each time it is called; None: all.

        >>> import torch
        >>> print(on.op(torch.relu), on.op(torch.split, nth=1))
        op(relu) op(split #1)
        """
        name = getattr(function, "__name__", function)
        text = f"op({name})" if nth is None else f"op({name} #{nth})"
        return Selector(text, lambda call: nth in (None, call.nth) and same(call.function, function))

    @staticmethod
    def module(kind: type) -> Selector:
        """Calls made in a module of this type, or beneath it."""
        return Selector(
            f"module({kind.__name__})", lambda call: any(issubclass(each, kind) for each in call.module_types)
        )


def path_matches(pattern: str, path: str) -> bool:
    """Whether a module path, or a module above it, matches a shell pattern; `*` crosses dots.

    >>> path_matches("layer4", "layer4.1.conv2"), path_matches("layer4", "layer41")
    (True, False)
    """
    return fnmatchcase(path, pattern) or fnmatchcase(path, pattern + ".*")


def _selector(given: Selector | str) -> Selector:
    if isinstance(given, Selector):
        return given
    if isinstance(given, str):
        return Selector(repr(given), lambda call: path_matches(given, call.path))
    raise CompositeError(
        "the first part of an entry is a selector or a module path",
        where="lrp.Composite",
        seen=repr(given),
        cure='for example (on.conv, rules.ZPlus()) or ("layer4", rules.Epsilon(1e-6))',
    )


class Composite:
    """An ordered list of (selector, rule). For each op call the first entry that matches it wins.

    An entry matches a call that its selector names and that its rule is defined for. A string selects by module path
    with shell patterns: every call made in a matching module or beneath it. Calls that no entry matches get LRP-0
    (`rules.Zero`), `rules.Gate` for activations, `rules.Uniform` for products, `rules.Taylor` for softmax,
    `rules.Constant` for normalisers.

    Args:
        entries: pairs of a selector (or a module path pattern) and a rule.
        name: what results call it.
        why: one sentence on why it was chosen, for presets that choose.
        strict: an entry that matches nothing is an error; presets are not strict.

    Raises:
        CompositeError: an entry is not a pair of a selector and a rule.

    >>> from lrp import on, rules
    >>> print(Composite([(on.first & on.conv, rules.Flat()), ("head*", rules.Epsilon(1e-6))], name="mine"))
    mine
      first & conv  Flat(epsilon=1e-06)
      'head*'       Epsilon(epsilon=1e-06)
      (others)      Zero, Gate for activation, Uniform for product, Taylor for softmax, Constant for normaliser
    """

    def __init__(
        self,
        entries: Iterable[tuple[Selector | str, Rule]],
        *,
        name: str = "custom",
        why: str = "",
        strict: bool = True,
    ) -> None:
        self.name, self.why, self.strict = name, why, strict
        self.entries: tuple[tuple[Selector, Rule], ...] = tuple(self._checked(entries))
        self.last: frozenset[str] | None = None

    @staticmethod
    def _checked(entries: Iterable[tuple[Selector | str, Rule]]) -> Iterator[tuple[Selector, Rule]]:
        for entry in entries:
            if not isinstance(entry, tuple) or len(entry) != 2 or not isinstance(entry[1], Rule):
                raise CompositeError(
                    "an entry of a composite is a pair of a selector and a rule",
                    where="lrp.Composite",
                    seen=repr(entry),
                    cure="for example (on.conv, rules.ZPlus()); a rule is called to make it: ZPlus(), not ZPlus",
                )
            yield _selector(entry[0]), entry[1]

    @property
    def needs_plan(self) -> bool:
        """Whether an entry asks what is known only after a forward pass."""
        return any(selector.planned for selector, _ in self.entries)

    def knowing(self, last: Set[str]) -> Composite:
        """The same composite for a forward pass whose last linear and convolution calls have these names."""
        planned = Composite(self.entries, name=self.name, why=self.why, strict=self.strict)
        planned.last = frozenset(last)
        return planned

    def choose(self, call: Selectable) -> tuple[Rule | None, int | None]:
        """The rule of a call and the number of the entry that chose it (None: the default of its family)."""
        for number, (selector, rule) in enumerate(self.entries):
            if rule.fits(call.family) and selector.matches(call):
                return rule, number
        return DEFAULTS.get(call.family, Zero()) if call.family else None, None

    def label(self, entry: int | None) -> str:
        """The entry in words."""
        return "(default)" if entry is None else str(self.entries[entry][0])

    def __str__(self) -> str:
        rows = [(str(selector), str(rule)) for selector, rule in self.entries]
        defaults = [f"{type(rule).__name__} for {family}" for family, rule in DEFAULTS.items()]
        rows.append(("(others)", ", ".join(["Zero", *defaults])))
        width = max(len(selector) for selector, _ in rows)
        return "\n".join([self.name, *(f"  {selector:{width}}  {rule}" for selector, rule in rows)])

    def __repr__(self) -> str:
        return f"<lrp.Composite {self.name!r} with {len(self.entries)} entries>"
