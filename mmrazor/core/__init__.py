"""Parts that know torch and mmengine, and nothing of any one method."""

from . import hooks, loops

__all__ = ["hooks", "loops"]
