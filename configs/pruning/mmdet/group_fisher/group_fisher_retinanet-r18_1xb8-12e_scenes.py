# Group Fisher Pruning for Practical Network Compression (Liu et al., 2021,
# arXiv:2108.00708): a small RetinaNet on the composed scenes, to half its MACs: every
# ten iterations over the first four epochs those channels go whose Fisher information
# by MAC is least; then it is trained on. Train the dense network first.
# python tools/train.py configs/pruning/mmdet/l1/l1_retinanet-r18_dense_1xb8-12e_scenes.py
# python tools/train.py configs/pruning/mmdet/group_fisher/group_fisher_retinanet-r18_1xb8-12e_scenes.py
# Expected: the row of the pruned network in README.md.
_base_ = '../l1/l1_retinanet-r18_dense_1xb8-12e_scenes.py'
dense_name = 'l1_retinanet-r18_dense_1xb8-12e_scenes'
model = dict(
    _delete_=True,
    type='mmrazor.GroupFisher',
    architecture=dict(
        cfg_path='mmrazor::pruning/mmdet/l1/' + dense_name + '.py',
        checkpoint='work_dirs/' + dense_name + '/epoch_12.pth'),
    interval=10,
    pruner=dict(
        type='Pruner',
        importance=dict(type='FisherImportance', normalize='macs'),
        budget=dict(macs=0.5),
        schedule=dict(end=500)))
