"""Named values of a forward pass: how they are named, kept and replaced."""

from .recorder import Recorder, RecordError
from .source import Source, SourceError

__all__ = ["RecordError", "Recorder", "Source", "SourceError"]
