# The dense network of the pruning beside it: PSPNet with a ResNet-18 of an eighth of
# the usual width on crops of the composed scenes, from random weights, on a CPU.
# python tools/train.py configs/pruning/mmseg/l1/l1_pspnet-r18_dense_1xb8-12e_scenes.py
# Expected: the row of the dense network in README.md.
_base_ = [
    'mmseg::_base_/default_runtime.py',
    '../../../_base_/datasets/scenes_segmentation.py',
    '../../../_base_/models/pspnet_narrow_scenes.py',
    '../../../_base_/schedules/adamw_cosine.py',
]
crop_size = (96, 96)
data_preprocessor = dict(size=crop_size)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.9),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(num_workers=0, persistent_workers=False)
test_dataloader = val_dataloader
log_processor = dict(by_epoch=True)
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=25),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=1),
    sampler_seed=dict(type='DistSamplerSeedHook'))
randomness = dict(seed=0)
