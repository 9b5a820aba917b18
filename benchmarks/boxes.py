"""Boxes round the object of each photograph, drawn by eye on a grid of tenths before any of their maps was made.

Corners are (left, top, right, bottom) as fractions of the whole photograph, uncropped. Where the network's own top
class names nothing in the photograph (rocket, astronaut, coins, moon), the box is round what a viewer would name first.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["BOXES", "Box"]


class Box(NamedTuple):
    """What is in the box, and its corners."""

    thing: str
    left: float
    top: float
    right: float
    bottom: float

    @property
    def area(self) -> float:
        """Its share of the photograph."""
        return (self.right - self.left) * (self.bottom - self.top)


BOXES = {
    "chelsea": Box("the cat's head", 0.08, 0.00, 0.83, 1.00),
    "coffee": Box("the cup with its handle", 0.28, 0.04, 0.70, 0.78),
    "rocket": Box("the rocket", 0.475, 0.32, 0.535, 0.96),
    "motorcycle": Box("the motorcycle", 0.17, 0.17, 0.93, 0.92),
    "astronaut": Box("the astronaut, without the helmet and the model beside her", 0.00, 0.03, 0.73, 1.00),
    "camera": Box("the camera on its tripod", 0.44, 0.26, 0.80, 1.00),
    "coins": Box("the rows of coins", 0.05, 0.05, 0.99, 0.96),
    "moon": Box("the bright crater", 0.18, 0.11, 0.29, 0.23),
    "china": Box("the tower", 0.10, 0.06, 0.57, 0.92),
    "flower": Box("the flower in focus", 0.26, 0.20, 0.70, 0.84),
}
