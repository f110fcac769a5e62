# Training Compact CNNs for Image Classification using Dynamic-coded Filter Fusion
# (Lin et al., 2021, arXiv:2107.06916):
# the quickstart's teacher on Fashion-MNIST from random weights, at half its MACs from
# the first step on. Minutes on two cores.
# python tools/train.py configs/pruning/mmcls/dcff/dcff_r18_1xb128-8e_fashion_mnist.py
# Expected: the top-1 accuracy of the compact network; see README.md.
_base_ = '../../../quickstart/teacher.py'
model = dict(
    _delete_=True,
    type='mmrazor.DCFF',
    architecture=dict(cfg_path='mmrazor::quickstart/teacher.py'),
    pruner=dict(type='DCFFPruner', budget=dict(macs=0.5)))
