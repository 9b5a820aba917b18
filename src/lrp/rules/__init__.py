"""The rules: how one op call hands on the relevance it received.

Each is a small frozen value with its formula and its paper in its docstring. A composite says which rule meets which
op call.
"""

from lrp.rules.base import Rule
from lrp.rules.linear import Epsilon, Flat, Zero, ZPlus
from lrp.rules.pointwise import Gate, Pass, Taylor, Uniform

__all__ = ["Epsilon", "Flat", "Gate", "Pass", "Rule", "Taylor", "Uniform", "ZPlus", "Zero"]
