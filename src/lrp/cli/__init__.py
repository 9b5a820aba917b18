"""The command line: ``lrp explain``, ``lrp plan``, ``lrp layers``, ``lrp composites``,
``lrp demo``, ``lrp app``.

Importing it loads click and the standard library only, so that ``--help`` answers at once; torch comes with the work.
"""

from __future__ import annotations

from lrp.cli.main import main

__all__ = ["main"]
