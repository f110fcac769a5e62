"""Which processors saturate sums of products with signed weights."""

import pytest
import torch

from mmrazor.models.quantizers.processor import sums_saturate


@pytest.mark.parametrize(
    ("capabilities", "saturates"),
    [
        (dict(avx2=True), True),
        (dict(avx2=True, avx512_f=True, avx512_vnni=False), True),
        (dict(avx2=True, avx512_f=True, avx512_vnni=True), False),
        (dict(avx2=True, avx_vnni=True), False),
        (dict(avx2=False, sse4_2=True), False),
        (dict(neon=True, dot=True), False),
    ],
)
def test_x86_without_vnni_saturates(capabilities, saturates):
    assert sums_saturate(capabilities) is saturates


def test_the_processor_at_hand_is_asked(monkeypatch):
    for found in (True, False):
        monkeypatch.setattr(
            torch.cpu,
            "get_capabilities",
            lambda found=found: dict(avx2=True, avx512_vnni=found),
            raising=False,
        )
        assert sums_saturate() is not found


def test_where_torch_cannot_tell_it_may(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert sums_saturate()
