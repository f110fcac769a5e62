# Training Compact CNNs for Image Classification using Dynamic-coded Filter Fusion
# (Lin et al., 2021, arXiv:2107.06916), applied to a detector:
# a small RetinaNet on the composed scenes from random weights, at half its MACs from
# the first step on.
# python tools/train.py configs/pruning/mmdet/dcff/dcff_retinanet-r18_1xb8-12e_scenes.py
# Expected: the row of the compact network in README.md.
_base_ = '../l1/l1_retinanet-r18_dense_1xb8-12e_scenes.py'
dense_name = 'l1_retinanet-r18_dense_1xb8-12e_scenes'
model = dict(
    _delete_=True,
    type='mmrazor.DCFF',
    architecture=dict(cfg_path='mmrazor::pruning/mmdet/l1/' + dense_name + '.py'),
    pruner=dict(type='DCFFPruner', budget=dict(macs=0.5)))
