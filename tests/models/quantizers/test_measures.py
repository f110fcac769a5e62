"""Decibels and bytes by hand."""

import math

import pytest
import torch

from mmrazor.models.quantizers import num_bytes, sqnr_db


def test_noise_in_decibels():
    signal = torch.randn(50, generator=torch.Generator().manual_seed(5))
    noisy = signal + 0.01
    power = sum(v**2 for v in signal.tolist())
    noise = sum(
        (a - b) ** 2 for a, b in zip(signal.tolist(), noisy.tolist(), strict=True)
    )
    assert sqnr_db(signal, noisy) == pytest.approx(10 * math.log10(power / noise))
    assert sqnr_db(signal, signal) == math.inf
    assert sqnr_db(torch.zeros(2), torch.ones(2)) == -math.inf
    with pytest.raises(ValueError, match=r"shape \(2,\) and a copy of shape \(1,\)"):
        sqnr_db(torch.zeros(2), torch.zeros(1))
    with pytest.raises(ValueError, match="at least one element"):
        sqnr_db(torch.zeros(0), torch.zeros(0))


def test_bytes_of_packed_integers():
    assert [num_bytes(n, b) for n, b in [(0, 8), (3, 8), (8, 3), (5, 4), (1, 2)]] == [
        *(0, 3, 3, 3, 1)
    ]
