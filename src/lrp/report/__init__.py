"""Results as pages: one HTML file that shows the maps, the tables and the books, and needs nothing but a browser."""

from __future__ import annotations

from lrp.report.page import page, write

__all__ = ["page", "write"]
