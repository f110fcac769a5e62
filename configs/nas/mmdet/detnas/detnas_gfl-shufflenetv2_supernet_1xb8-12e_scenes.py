# DetNAS (Chen et al., 2019, arXiv:1903.10979) on the composed scenes, on a CPU: GFL with a
# narrow ShuffleNetV2 supernet as its backbone, from random weights.
# python tools/train.py configs/nas/mmdet/detnas/detnas_gfl-shufflenetv2_supernet_1xb8-12e_scenes.py
# Expected: no mAP of its own; what is validated is one path of the supernet.
_base_ = '../../../distill/mmdet/cwd/cwd_gfl-r18_student_1xb8-12e_scenes.py'
model = dict(
    _delete_=True,
    type='mmrazor.SPOS',
    architecture=dict(
        cfg_path='mmrazor::distill/mmdet/cwd/cwd_gfl-r18_student_1xb8-12e_scenes.py',
        backbone=dict(
            _delete_=True,
            type='mmrazor.SearchableShuffleNetV2',
            repeats=(1, 2, 3, 2),
            channels=(8, 16, 32, 48, 64, 64),
            out_indices=(0, 1, 2, 3)),
        neck=dict(in_channels=[16, 32, 48, 64])))
train_dataloader = dict(dataset=dict(indices=800))
