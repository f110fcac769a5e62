"""Datasets and transforms that the host libraries lack; none so far."""
