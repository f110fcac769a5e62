"""Decisions about an Architecture, the set of them, and one selected value for each."""

from .choice import Choice, OneOf
from .keep_channels import KeepChannels
from .search_space import SearchSpace
from .subnet import Subnet

__all__ = ["Choice", "KeepChannels", "OneOf", "SearchSpace", "Subnet"]
