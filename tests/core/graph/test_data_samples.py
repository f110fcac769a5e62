from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from mmrazor.core.graph.data_samples import clip_samples, data_samples, takes_clips
from mmrazor.models.architectures import build_architecture
from tests.tiny_models import TINY, detector


def tracker() -> nn.Module:
    """Build SORT around the tiny detector: it runs in no mode but ``predict``."""
    inner = {k: v for k, v in detector().items() if k != "data_preprocessor"}
    model: dict[str, Any] = dict(
        type="mmdet.DeepSORT",
        data_preprocessor=dict(type="TrackDataPreprocessor"),
        detector=dict(inner, type="RetinaNet"),
        tracker=dict(
            type="SORTTracker",
            motion=dict(type="KalmanFilter"),
            obj_score_thr=0.0,
            match_iou_thr=0.5,
            reid=None,
        ),
    )
    return build_architecture(model)


@pytest.mark.parametrize("scope", TINY)
def test_one_sample_for_each_image(scope: str) -> None:
    model = build_architecture(TINY[scope]())
    samples = data_samples(model, torch.zeros(2, 3, 32, 48))
    assert samples is not None
    assert [sample.img_shape for sample in samples] == [(32, 48)] * 2
    assert not takes_clips(model)


def test_no_samples_for_a_model_of_no_host() -> None:
    assert data_samples(nn.Linear(2, 2), torch.zeros(1, 3, 8, 8)) is None


def test_clips_have_a_key_frame_and_its_reference() -> None:
    samples = clip_samples(torch.zeros(2, 2, 3, 32, 48))
    assert len(samples) == 2
    for sample in samples:
        key, reference = sample.get_key_frames()[0], sample.get_ref_frames()[0]
        assert (key.frame_id, reference.frame_id) == (0, 1)
        assert key.img_shape == (32, 48)
        # The same object in both frames, so that there is something to match.
        ids = [frame.gt_instances.instances_ids for frame in (key, reference)]
        assert torch.equal(*ids)


def test_trackers_take_clips() -> None:
    assert takes_clips(tracker())


def test_lane_detectors_get_a_line() -> None:
    model = build_architecture(TINY["mmdet"]())
    images = torch.zeros(1, 3, 32, 48)
    assert "lines_array" not in data_samples(model, images)[0]
    model.bbox_head.n_offsets = 5
    sample = data_samples(model, images)[0]
    assert (sample.org_height, sample.org_width) == (32, 48)
    assert sample.lines_array.shape == (1, 6 + 5)
    assert sample.lines_array[0, 6:].tolist() == [24.0] * 5
