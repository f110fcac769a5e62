"""What is learned about a model by running it once."""

from .example_inputs import example_inputs

__all__ = ["example_inputs"]
