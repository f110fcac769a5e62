# Accelerating Sparse Deep Neural Networks (Mishra et al., 2021, arXiv:2104.08378):
# ResNet-50, two of every four weights, on ImageNet. The dense weights are those that
# mmpretrain publishes; the training that made them is repeated. Channels are grouped as
# sparse tensor cores want them. All weights have the pattern but those of the first
# convolution (3 input channels).
# python tools/train.py configs/pruning/mmcls/semi_structured/semi_structured_r50_finetune_8xb32_in1k.py
# Expected: published top-1 about 77.0, dense 76.55; not measured here.
_base_ = [
    'mmpretrain::_base_/datasets/imagenet_bs32.py',
    'mmpretrain::_base_/schedules/imagenet_bs256.py',
    'mmpretrain::_base_/default_runtime.py',
]
model = dict(
    type='mmrazor.Compress',
    architecture=dict(
        cfg_path='mmpretrain::resnet/resnet50_8xb32_in1k.py', pretrained=True),
    pruner=dict(
        type='mmrazor.SemiStructuredPruner', n=2, m=4, layout='channels_last'))
custom_hooks = [dict(type='mmrazor.KeepSparsityHook')]
