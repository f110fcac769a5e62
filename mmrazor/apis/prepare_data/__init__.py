"""Prepare the data sets that the configs and the quickstart use."""

from .errors import PrepareError, SourceError
from .prepare import NAMES, prepare

__all__ = ["NAMES", "PrepareError", "SourceError", "prepare"]
