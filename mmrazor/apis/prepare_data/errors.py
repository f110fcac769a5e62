"""Errors of data preparation; their text is what the user of the tool reads."""

from __future__ import annotations


class PrepareError(RuntimeError):
    """A data set cannot be prepared; the text says why and what to do."""


class SourceError(PrepareError):
    """One source of a data set failed; the next one may still work."""
