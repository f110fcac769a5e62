"""Architecture search: Algorithms that train supernets."""

from .darts import Darts
from .dsnas import DSNAS
from .searchable import SearchableAlgorithm
from .spos import SPOS

__all__ = ["DSNAS", "SPOS", "Darts", "SearchableAlgorithm"]
