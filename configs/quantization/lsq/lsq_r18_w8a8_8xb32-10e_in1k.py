# Learned Step Size Quantization (Esser et al., 2020, arXiv:1902.08153): ResNet-18 in 8 bits
# on ImageNet, from the weights that mmpretrain publishes.
# bash tools/dist_train.sh configs/quantization/lsq/lsq_r18_w8a8_8xb32-10e_in1k.py 8
# Expected: published top-1 69.99 (MMRazor 1.0), in float 69.90; not measured here.
_base_ = [
    'mmpretrain::_base_/datasets/imagenet_bs32.py',
    'mmpretrain::_base_/schedules/imagenet_bs256.py',
    'mmpretrain::_base_/default_runtime.py',
]
model = dict(
    type='mmrazor.Quantize',
    architecture=dict(cfg_path='mmpretrain::resnet/resnet18_8xb32_in1k.py', pretrained=True),
    quantizer=dict(
        type='Quantizer',
        backend='onnxruntime',
        weight=dict(type='LearnedStepSize', bits=8, granularity='channel'),
        activation=dict(
            type='LearnedStepSize', bits=8, observer=dict(type='MinMaxObserver')),
        fold=False))
optim_wrapper = dict(
    optimizer=dict(type='SGD', lr=0.001, momentum=0.9, weight_decay=1e-4))
param_scheduler = dict(
    _delete_=True,
    type='CosineAnnealingLR',
    by_epoch=True,
    begin=0,
    T_max=10,
    end=10,
    convert_to_iter_based=True)
train_cfg = dict(max_epochs=10)
