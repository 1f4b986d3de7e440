"""Tells which layer of an audio network encodes what, and what it sounds like."""

__version__ = "0.1.0"
