"""The rules: how one op call hands on the relevance it received.

Each is a small frozen value with its formula and its paper in its docstring. A composite says which rule meets which
op call.
"""

from lrp.rules.base import Rule
from lrp.rules.first_layer import Box, Flat, WSquare
from lrp.rules.linear import Epsilon, Zero
from lrp.rules.passing import AsConstant, PassDetached, Stop
from lrp.rules.pointwise import Gate, Pass
from lrp.rules.product import SignalTakesAll, Uniform
from lrp.rules.signed import AlphaBeta, Gamma, ZPlus
from lrp.rules.softmax import Constant, Taylor
from lrp.rules.sums import ResidualGamma

__all__ = [
    "AlphaBeta",
    "AsConstant",
    "Box",
    "Constant",
    "Epsilon",
    "Flat",
    "Gamma",
    "Gate",
    "Pass",
    "PassDetached",
    "ResidualGamma",
    "Rule",
    "SignalTakesAll",
    "Stop",
    "Taylor",
    "Uniform",
    "WSquare",
    "ZPlus",
    "Zero",
]
