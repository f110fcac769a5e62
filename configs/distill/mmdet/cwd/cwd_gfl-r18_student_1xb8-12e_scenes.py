# The student of CWD (Shu et al., 2021, arXiv:2011.13256) without a teacher.
# GFL with a narrow ResNet-18 on the composed scenes, from random weights, on a CPU.
# python tools/train.py configs/distill/mmdet/cwd/cwd_gfl-r18_student_1xb8-12e_scenes.py
# Expected: the student's row of the table in README.md.
_base_ = [
    'mmdet::_base_/default_runtime.py',
    '../../../_base_/datasets/scenes_detection.py',
    '../../../_base_/models/gfl_narrow_scenes.py',
    '../../../_base_/schedules/adamw_cosine.py',
]
image_scale = (128, 128)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=image_scale, keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=image_scale, keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                   'scale_factor')),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
default_hooks = dict(
    checkpoint=dict(interval=1, max_keep_ckpts=1), logger=dict(interval=25))
randomness = dict(seed=0)
