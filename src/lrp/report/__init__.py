"""Results as pages: one HTML file that shows the maps, the tables and the books, and needs nothing but a browser."""

from __future__ import annotations

from lrp.report.page import page, write
from lrp.report.panels import MOST
from lrp.report.style import template

__all__ = ["MOST", "page", "template", "write"]
