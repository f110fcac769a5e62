"""The models of the coverage benchmark: of torchvision, timm, and each host family.

A family is a folder of the configs that mmpretrain, mmdet and mmseg ship. Of each the
smallest model is taken, told by the names of its configs: see ``smallness``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmrazor import compat

HOSTS = ("torchvision", "timm", *compat.HOSTS)
TORCHVISION = (
    "resnet50",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "densenet121",
    "regnet_y_400mf",
    "efficientnet_b0",
    "convnext_tiny",
    "shufflenet_v2_x1_0",
    "vit_b_16",
    "swin_t",
    "maxvit_t",
    "inception_v3",
    "googlenet",
    "deeplabv3_resnet50",
    "fasterrcnn_resnet50_fpn",
)
# One of each family, by name, with the side of its images in pixels.
TIMM = {
    "beit_base_patch16_224": 224,
    "cait_xxs24_224": 224,
    "coat_lite_tiny": 224,
    "coatnet_pico_rw_224": 224,
    "convit_tiny": 224,
    "convmixer_768_32": 96,
    "convnext_atto": 224,
    "crossvit_tiny_240": 240,
    "cspdarknet53": 128,
    "davit_tiny": 224,
    "deit_tiny_distilled_patch16_224": 224,
    "dla46_c": 224,
    "dm_nfnet_f0": 128,
    "dpn68": 224,
    "edgenext_xx_small": 256,
    "efficientformer_l1": 224,
    "efficientformerv2_s0": 224,
    "efficientvit_b0": 224,
    "efficientvit_m0": 224,
    "ese_vovnet19b_dw": 224,
    "eva02_tiny_patch14_224": 224,
    "fasternet_t0": 224,
    "fastvit_t8": 256,
    "focalnet_tiny_srf": 224,
    "gcvit_xxtiny": 224,
    "ghostnet_100": 224,
    "gmlp_ti16_224": 224,
    "halonet26t": 256,
    "hgnetv2_b0": 224,
    "hiera_tiny_224": 224,
    "hrnet_w18_small": 224,
    "inception_next_atto": 224,
    "lambda_resnet26t": 256,
    "levit_128s": 224,
    "mambaout_femto": 224,
    "maxvit_tiny_tf_224": 224,
    "mixer_s32_224": 224,
    "mobilenetv4_conv_small": 224,
    "mobilevit_xxs": 256,
    "mobilevitv2_050": 256,
    "mvitv2_tiny": 224,
    "nest_tiny": 224,
    "nextvit_small": 224,
    "pit_ti_224": 224,
    "poolformer_s12": 224,
    "pvt_v2_b0": 224,
    "rdnet_tiny": 224,
    "regnetx_002": 224,
    "repghostnet_050": 224,
    "repvit_m0_9": 224,
    "res2net50_26w_4s": 224,
    "resnest14d": 224,
    "resnetv2_50": 224,
    "rexnet_100": 224,
    "selecsls42": 224,
    "sequencer2d_s": 224,
    "shvit_s1": 224,
    "skresnet18": 224,
    "starnet_s050": 224,
    "swiftformer_xs": 224,
    "swinv2_cr_tiny_ns_224": 224,
    "swinv2_tiny_window8_256": 256,
    "tiny_vit_5m_224": 224,
    "tnt_s_patch16_224": 224,
    "tresnet_m": 224,
    "twins_pcpvt_small": 224,
    "twins_svt_small": 224,
    "visformer_tiny": 224,
    "vit_relpos_small_patch16_224": 224,
    "vit_small_r26_s32_224": 224,
    "vitamin_small_224": 224,
    "volo_d1_224": 224,
    "xception41": 299,
    "xcit_nano_12_p8_224": 224,
}
# Folders that hold parts of other configs.
_NO_FAMILY = ("_base_", "common")
# Where the names mislead: the config to take, relative to the family's folder.
EXCEPTIONS = {
    # es, em and s are not smaller than b0 there.
    "mmpretrain/efficientnet": "efficientnet-b0_8xb32_in1k.py",
    "mmpretrain/efficientnet_v2": "efficientnetv2-b0_8xb32_in1k.py",
    # Patches of 8 cost four times as much as those of 16.
    "mmpretrain/xcit": "xcit-nano-12-p16_8xb128_in1k.py",
    # The configs of 31B cannot be read: their base imports mmpretrain.
    "mmpretrain/replknet": "replknet-31L_32xb64_in1k-384px.py",
    # The head alone (RPN) lacks an argument in its config.
    "mmdet/cascade_rpn": "cascade-rpn_faster-rcnn_r50-caffe_fpn_1x_coco.py",
    # The shortest name is the baseline, without what the family is about.
    "mmdet/dcn": "faster-rcnn_r50-dconv-c3-c5_fpn_1x_coco.py",
    "mmdet/dcnv2": "faster-rcnn_r50-mdconv-c3-c5_fpn_1x_coco.py",
    "mmdet/detectors": "detectors_cascade-rcnn_r50_1x_coco.py",
    "mmdet/gcnet": "mask-rcnn_r50-gcb-r16-c3-c5_fpn_1x_coco.py",
    "mmdet/nas_fpn": "retinanet_r50_nasfpn_crop640-50e_coco.py",
    "mmdet/sort": "sort_faster-rcnn_r50_fpn_8xb2-4e_mot17train_test-mot17test.py",
    "mmdet/strongsort": "strongsort_yolox_x_8xb4-80e_crowdhuman-mot17halftrain_test"
    "-mot17halfval.py",
    # Another part of the model is the larger one, or a lighter head has a longer name.
    "mmdet/ddq": "ddq-detr-4scale_r50_8xb2-12e_coco.py",
    "mmdet/groie": "faste-rcnn_r50_fpn_groie_1x_coco.py",
    "mmdet/hrnet": "faster-rcnn_hrnetv2p-w18-1x_coco.py",
    "mmdet/lad": "lad_r50-paa-r101_fpn_2xb8_coco_1x.py",
    "mmdet/libra_rcnn": "libra-faster-rcnn_r50_fpn_1x_coco.py",
    "mmdet/res2net": "faster-rcnn_res2net-101_fpn_2x_coco.py",
    "mmdet/v3det": "faster_rcnn_r50_fpn_8x4_sample1e-3_mstrain_v3det_2x.py",
    "mmseg/ddrnet": "ddrnet_23-slim_in1k-pre_2xb6-120k_cityscapes-1024x1024.py",
    # The smallest takes pairs of images.
    "mmseg/swin": "swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k"
    "-512x512.py",
}
_SIZES: tuple[tuple[str, ...], ...] = (
    ("atto",),
    ("femto",),
    ("pico",),
    ("nano", "n"),
    ("xxs", "xxsmall"),
    ("xs", "xsmall"),
    ("tiny", "t"),
    ("small", "s"),
    (),  # no word for the size
    ("medium", "m"),
    ("base", "b"),
    ("large", "l"),
    ("xlarge", "xl", "x"),
    ("huge", "giant", "h", "g"),
)
_RANKS = {word: rank for rank, words in enumerate(_SIZES) for word in words}
_UNNAMED = _SIZES.index(())
# Depth, width or MACs at the end of a word (r50, r18b, 400mf); not 1x, 80k or 300e.
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)(mf|gf|[a-df-jl-wyz]?)$")
_SCHEDULE = re.compile(r"\d+x")  # 8xb32, 512x1024
_UNITS = {"gf": 1000}
# Taken if there is nothing else.
_LAST = ("deploy", "headless", "tta")


@dataclass(frozen=True)
class CoverageModel:
    """One model of the table.

    Args:
        host: One of ``HOSTS``.
        family: The name in torchvision or timm, or the folder of the configs.
        configs: Configs of the family, the one to take first; empty for those two.
    """

    host: str
    family: str
    configs: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Tell the models apart: ``mmdet/retinanet``."""
        return f"{self.host}/{self.family}"


def coverage_models(hosts: Sequence[str] = HOSTS) -> list[CoverageModel]:
    """List the models of the hosts, in the order of the table; timm's if installed."""
    models = []
    for host in hosts:
        if host == "timm":
            names = TIMM if compat.is_importable("timm") else {}
            models += [CoverageModel(host, name) for name in names]
            continue
        if host == "torchvision":
            models += [CoverageModel(host, name) for name in TORCHVISION]
            continue
        folders = sorted(p for p in compat.config_dir(host).iterdir() if p.is_dir())
        for folder in folders:
            configs = _configs(host, folder)
            if folder.name not in _NO_FAMILY and configs:
                models.append(CoverageModel(host, folder.name, configs))
    return models


def _configs(host: str, folder: Path) -> tuple[str, ...]:
    """Return a family's configs, the smallest first; subfolders only if need be."""
    files = list(folder.glob("[!_]*.py")) or list(folder.rglob("[!_]*.py"))
    names = sorted((p.relative_to(folder).as_posix() for p in files), key=smallness)
    taken = EXCEPTIONS.get(f"{host}/{folder.name}")
    if taken in names:
        names = [taken, *(name for name in names if name != taken)]
    return tuple(f"{host}::{folder.name}/{name}" for name in names)


def smallness(config: str) -> tuple[Any, ...]:
    """Return a sort key for the configs of one family: small models come first.

    By the word for the size (tiny, s, ...), then the largest number that a word ends in
    (depth or width: ``r50``, ``hr18``, ``400mf``), then the length of the name.

    Example:
        >>> names = ["a_r50_1x", "a-l_r18", "a_r18_fpn_1x", "a_r18_8xb2", "a-s"]
        >>> sorted(names, key=smallness)
        ['a-s', 'a_r18_8xb2', 'a_r18_fpn_1x', 'a_r50_1x', 'a-l_r18']
    """
    stem = Path(config).stem.lower()
    words = re.split(r"[-_+]", stem)
    bare = [word.rstrip("0123456789") for word in words]
    ranks = [_RANKS[word] for word in bare if word in _RANKS]
    sized = [word for word in words if not _SCHEDULE.match(word)]
    found = [match for word in sized for match in [_NUMBER.search(word)] if match]
    numbers = [float(match[1]) * _UNITS.get(match[2], 1) for match in found]
    return (
        any(word in words for word in _LAST),
        max(ranks, default=_UNNAMED),
        max(numbers, default=0.0),
        len(stem),
        stem,
    )
