# A forward in ``predict`` or ``loss`` mode reads much from these: sizes, labels, boxes,
# masks. What is here is the least with which the models of the hosts run.
"""Make data samples as the host libraries do."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import torch
from mmengine.structures import InstanceData, PixelData
from torch import Tensor, nn


def data_samples(model: nn.Module, images: Tensor) -> list[Any] | None:
    """Return one data sample for each image, ``None`` for a model of no known host.

    Args:
        model: Tells the host library.
        images: Shape ``(B, C, H, W)``.
    """
    for kind in type(model).__mro__:
        host = kind.__module__.partition(".")[0]
        if host in _SAMPLES:
            samples = _SAMPLES[host](images)
            _add_lines_(samples, model, images)
            return samples
    return None


def _add_lines_(samples: list[Any], model: nn.Module, images: Tensor) -> None:
    """Give lane detectors (CLRNet) one vertical line in the middle of each image."""
    points = getattr(getattr(model, "bbox_head", None), "n_offsets", None)
    if points is None:
        return
    height, width = images.shape[-2:]
    # No, yes; then start, angle and length as shares, and the line's x at each height.
    line = [0.0, 1.0, 0.0, 0.5, 0.5, float(points), *[0.5 * width] * points]
    for sample in samples:
        sample.org_height, sample.org_width = height, width
        sample.lines_array = images.new_tensor([line])


def takes_clips(model: nn.Module) -> bool:
    """Tell whether a model is a tracker, which takes several frames of each video."""
    return any(
        kind.__module__ == "mmdet.models.mot.base" for kind in type(model).__mro__
    )


def clip_samples(clips: Tensor) -> list[Any]:
    """Return one track sample for each clip: a key frame, then its reference.

    Args:
        clips: Shape ``(B, 2, C, H, W)``.
    """
    kind = import_module("mmdet.structures").TrackDataSample
    samples = []
    for clip in clips:
        frames = _mmdet_samples(clip)
        for number, frame in enumerate(frames):
            frame.set_metainfo(
                {"frame_id": number, "video_length": 2, "ori_video_length": 2}
            )
            instances = frame.gt_instances
            instances.instances_ids = torch.zeros_like(instances.labels)
        sample = kind(metainfo={"key_frames_inds": [0], "ref_frames_inds": [1]})
        sample.video_data_samples = frames
        samples.append(sample)
    return samples


def _meta(images: Tensor, index: int) -> dict[str, Any]:
    size = tuple(images.shape[-2:])
    return {
        "img_id": index,
        "img_path": "",
        "img_shape": size,
        "ori_shape": size,
        "pad_shape": size,
        "batch_input_shape": size,
        "scale_factor": (1.0, 1.0),
        "flip": False,
        "flip_direction": None,
        "padding_size": [0, 0, 0, 0],
        "img_padding_size": [0, 0, 0, 0],
    }


def _mmpretrain_samples(images: Tensor) -> list[Any]:
    kind = import_module("mmpretrain.structures").DataSample
    samples = [kind(metainfo=_meta(images, i)) for i in range(len(images))]
    return [sample.set_gt_label(0).to(images.device) for sample in samples]


def _mmdet_samples(images: Tensor) -> list[Any]:
    kind = import_module("mmdet.structures").DetDataSample
    masks = import_module("mmdet.structures.mask").BitmapMasks
    height, width = images.shape[-2:]
    box = images.new_tensor(
        [[0.25 * width, 0.25 * height, 0.75 * width, 0.75 * height]]
    )
    samples = []
    for i in range(len(images)):
        sample = kind(metainfo=_meta(images, i))
        mask = torch.zeros(1, height, width, dtype=torch.uint8)
        mask[:, height // 4 : height * 3 // 4, width // 4 : width * 3 // 4] = 1
        sample.gt_instances = InstanceData(
            bboxes=box.clone(),
            labels=torch.zeros(1, dtype=torch.long, device=images.device),
            masks=masks(mask.numpy(), height, width),
        )
        sample.ignored_instances = InstanceData(
            bboxes=box[:0].clone(), labels=sample.gt_instances.labels[:0]
        )
        # Two-stage heads without their own proposals (Fast R-CNN) ask for these.
        sample.proposals = InstanceData(bboxes=box.clone(), scores=box.new_ones(1))
        sample.gt_sem_seg = _no_labels(images)
        samples.append(sample)
    return samples


def _mmseg_samples(images: Tensor) -> list[Any]:
    kind = import_module("mmseg.structures").SegDataSample
    samples = []
    for i in range(len(images)):
        sample = kind(metainfo=_meta(images, i))
        sample.gt_sem_seg = _no_labels(images)
        samples.append(sample)
    return samples


def _no_labels(images: Tensor) -> PixelData:
    """Return a semantic map that is class 0 everywhere."""
    size = images.shape[-2:]
    pixels = torch.zeros(1, *size, dtype=torch.long, device=images.device)
    return PixelData(data=pixels, sem_seg=pixels.clone())


_SAMPLES = {
    "mmpretrain": _mmpretrain_samples,
    "mmdet": _mmdet_samples,
    "mmseg": _mmseg_samples,
}
