"""The Python door to Architectures."""

from ..models.architectures import build_architecture

__all__ = ["build_architecture"]
