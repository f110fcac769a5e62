# Pruning Filters for Efficient ConvNets (Li et al., 2017, arXiv:1608.08710):
# a narrow RTMDet-tiny on the composed scenes, to half its MACs in four steps over the
# first four epochs, then trained on. Train the dense network first.
# python tools/train.py configs/pruning/mmdet/l1/l1_rtmdet-tiny_dense_1xb8-12e_scenes.py
# python tools/train.py configs/pruning/mmdet/l1/l1_rtmdet-tiny_finetune_1xb8-12e_scenes.py
# Expected: the row of the pruned network in README.md.
_base_ = './l1_rtmdet-tiny_dense_1xb8-12e_scenes.py'
dense_name = 'l1_rtmdet-tiny_dense_1xb8-12e_scenes'
model = dict(
    _delete_=True,
    type='mmrazor.Compress',
    architecture=dict(
        cfg_path='mmrazor::pruning/mmdet/l1/' + dense_name + '.py',
        checkpoint='work_dirs/' + dense_name + '/epoch_12.pth'),
    pruner=dict(
        type='Pruner',
        importance=dict(type='L1Importance'),
        budget=dict(macs=0.5),
        min_keep=0.125,
        schedule=dict(
            type='CubicSchedule', begin=0, end=4, interval=1, by_epoch=True)))
