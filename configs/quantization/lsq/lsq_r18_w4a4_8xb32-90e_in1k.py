# Learned Step Size Quantization (Esser et al., 2020, arXiv:1902.08153): ResNet-18 in 4 bits,
# the first and the last layer in 8,
# on ImageNet, from the weights that mmpretrain publishes.
# bash tools/dist_train.sh configs/quantization/lsq/lsq_r18_w4a4_8xb32-90e_in1k.py 8
# Expected: published top-1 71.1, in float 70.5 (both of the paper); not measured here.
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
        backend='generic',
        weight=dict(type='LearnedStepSize', bits=4, granularity='tensor'),
        # With a zero point, as what is added to a shortcut has both signs; behind ReLU
        # it is 0.
        activation=dict(
            type='LearnedStepSize', bits=4, observer=dict(type='MSEObserver')),
        edges=dict(weight=dict(bits=8), activation=dict(bits=8)),
        fold=False))
optim_wrapper = dict(
    optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4))
param_scheduler = dict(
    _delete_=True,
    type='CosineAnnealingLR',
    by_epoch=True,
    begin=0,
    T_max=90,
    end=90,
    convert_to_iter_based=True)
train_cfg = dict(max_epochs=90)
