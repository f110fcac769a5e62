"""The Python door to example inputs."""

from ..core.graph.example_inputs import example_inputs

__all__ = ["example_inputs"]
