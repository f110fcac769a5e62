# Training Compact CNNs for Image Classification using Dynamic-coded Filter Fusion
# (Lin et al., 2021, arXiv:2107.06916):
# a narrow ResNet-18 on CIFAR-10 from random weights, at half its MACs from the first
# step on.
# python tools/train.py configs/pruning/mmcls/dcff/dcff_r18_1xb128-30e_cifar10.py
# Expected: the top-1 accuracy of the compact network; see README.md.
_base_ = '../../../distill/mmcls/kd/kd_r18_student_1xb128-30e_cifar10.py'
model = dict(
    _delete_=True,
    type='mmrazor.DCFF',
    architecture=dict(
        cfg_path='mmrazor::distill/mmcls/kd/kd_r18_student_1xb128-30e_cifar10.py'),
    pruner=dict(type='DCFFPruner', budget=dict(macs=0.5)))
