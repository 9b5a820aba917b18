"""``python -m lrp.cli``."""

from __future__ import annotations

from lrp.cli.main import main

main(prog_name="lrp")
