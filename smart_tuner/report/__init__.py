"""A study's report: evidence.py joins what both stores know, findings judge it, pages.py writes it down."""
