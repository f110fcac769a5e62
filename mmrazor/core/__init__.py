"""Parts that know torch and mmengine, and nothing of any one method."""

from . import hooks, loops, optim_wrapper, searchers

__all__ = ["hooks", "loops", "optim_wrapper", "searchers"]
