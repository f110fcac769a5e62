"""Model dicts of the three host libraries, small enough for a unit test."""

from __future__ import annotations

from typing import Any

import pytest

PREPROCESSOR = dict(mean=[120.0, 110.0, 100.0], std=[60.0, 55.0, 50.0])


def classifier(num_classes: int = 3, **changes: Any) -> dict[str, Any]:
    model = dict(
        type="mmpretrain.ImageClassifier",
        backbone=dict(type="ResNet", depth=18, stem_channels=4, base_channels=4),
        neck=dict(type="GlobalAveragePooling"),
        head=dict(
            type="LinearClsHead",
            num_classes=num_classes,
            in_channels=32,
            loss=dict(type="CrossEntropyLoss"),
            topk=(1,),
        ),
        data_preprocessor=dict(
            type="ClsDataPreprocessor",
            num_classes=num_classes,
            to_rgb=True,
            **PREPROCESSOR,
        ),
    )
    return {**model, **changes}


def detector(num_classes: int = 3, **changes: Any) -> dict[str, Any]:
    model = dict(
        type="mmdet.RetinaNet",
        data_preprocessor=dict(
            type="DetDataPreprocessor",
            bgr_to_rgb=True,
            pad_size_divisor=32,
            **PREPROCESSOR,
        ),
        backbone=dict(
            type="ResNet",
            depth=18,
            stem_channels=4,
            base_channels=4,
            num_stages=4,
            out_indices=(0, 1, 2, 3),
        ),
        neck=dict(
            type="FPN",
            in_channels=[4, 8, 16, 32],
            out_channels=8,
            start_level=1,
            add_extra_convs="on_input",
            num_outs=5,
        ),
        bbox_head=dict(
            type="RetinaHead",
            num_classes=num_classes,
            in_channels=8,
            stacked_convs=1,
            feat_channels=8,
            anchor_generator=dict(
                type="AnchorGenerator",
                octave_base_scale=4,
                scales_per_octave=3,
                ratios=[0.5, 1.0, 2.0],
                strides=[8, 16, 32, 64, 128],
            ),
            bbox_coder=dict(type="DeltaXYWHBBoxCoder"),
            loss_cls=dict(type="FocalLoss", use_sigmoid=True),
            loss_bbox=dict(type="L1Loss"),
        ),
        train_cfg=dict(
            assigner=dict(
                type="MaxIoUAssigner",
                pos_iou_thr=0.5,
                neg_iou_thr=0.4,
                min_pos_iou=0,
                ignore_iof_thr=-1,
            ),
            sampler=dict(type="PseudoSampler"),
            allowed_border=-1,
            pos_weight=-1,
            debug=False,
        ),
        test_cfg=dict(
            nms_pre=100,
            min_bbox_size=0,
            score_thr=0.0,
            nms=dict(type="nms", iou_threshold=0.5),
            max_per_img=10,
        ),
    )
    return {**model, **changes}


def segmentor(num_classes: int = 3, **changes: Any) -> dict[str, Any]:
    norm = dict(type="BN", requires_grad=True)
    model = dict(
        type="mmseg.EncoderDecoder",
        data_preprocessor=dict(
            type="SegDataPreProcessor",
            bgr_to_rgb=True,
            pad_val=0,
            seg_pad_val=255,
            size=(64, 64),
            **PREPROCESSOR,
        ),
        backbone=dict(
            type="ResNetV1c",
            depth=18,
            stem_channels=4,
            base_channels=4,
            num_stages=4,
            out_indices=(0, 1, 2, 3),
            strides=(1, 2, 1, 1),
            dilations=(1, 1, 2, 4),
            norm_cfg=norm,
        ),
        decode_head=dict(
            type="PSPHead",
            in_channels=32,
            in_index=3,
            channels=8,
            pool_scales=(1, 2, 3, 6),
            dropout_ratio=0.1,
            num_classes=num_classes,
            norm_cfg=norm,
            align_corners=False,
            loss_decode=dict(type="CrossEntropyLoss"),
        ),
        train_cfg=dict(),
        test_cfg=dict(mode="whole"),
    )
    return {**model, **changes}


TINY = {"mmpretrain": classifier, "mmdet": detector, "mmseg": segmentor}
#: Their names, for long tests: all but one host are slow.
SCOPES = [
    pytest.param(name, marks=[] if name == "mmdet" else [pytest.mark.slow])
    for name in TINY
]
