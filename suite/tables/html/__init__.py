"""The HTML report: every table and figure on one page that needs nothing else, each cell opening its runs."""

from suite.tables.html.page import Section, page, write

__all__ = ["Section", "page", "write"]
