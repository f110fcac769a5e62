# The dense network of the pipeline beside it: a narrow ResNet-18 that halves images at
# once, on CIFAR-10, from random weights, on a CPU. It is the teacher later.
# python tools/train.py configs/combined/combined_r18_dense_1xb128-5e_cifar10.py
# Expected: the row of the dense network in README.md.
_base_ = [
    'mmpretrain::_base_/default_runtime.py',
    '../_base_/datasets/cifar10.py',
    '../_base_/models/resnet_cifar_narrow.py',
    '../_base_/schedules/sgd_cosine.py',
]
model = dict(backbone=dict(strides=(2, 2, 2, 2)))
# On two cores, worker processes cost more than they bring.
train_dataloader = dict(num_workers=0, persistent_workers=False)
val_dataloader = dict(num_workers=0, persistent_workers=False)
test_dataloader = val_dataloader
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(
        type='CosineAnnealingLR', by_epoch=True, begin=0, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=5)
default_hooks = dict(checkpoint=dict(max_keep_ckpts=1))
randomness = dict(seed=0)
