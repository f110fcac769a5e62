# Single Path One-Shot (Guo et al., 2020, arXiv:1904.00420): the supernet of the MobileNetV2 space of ProxylessNAS (GPU widths)
# on ImageNet. As in the paper: 150000 steps of 1024 images, a uniform path
# in each, label smoothing 0.1. One part in 26 of the training set, about 50000 images, is
# kept aside for the search.
# bash tools/dist_train.sh configs/nas/mmcls/spos/spos_mobilenet_supernet_8xb128_in1k.py 8
# Expected: no accuracy of its own; what is validated is one path of the supernet.
_base_ = './spos_shufflenetv2_supernet_8xb128_in1k.py'
model = dict(
    architecture=dict(
        backbone=dict(type='mmrazor.SearchableMobileNetV2'),
        head=dict(in_channels=1728)))
