# Quantization-aware training (Jacob et al., 2018, arXiv:1712.05877): PSPNet in 8 bits on
# Cityscapes, from the weights that mmseg publishes.
# bash tools/dist_train.sh configs/quantization/qat/qat_pspnet-r50_4xb2-4k_cityscapes.py 4
# Expected: published mIoU none, in float 77.85; not measured here.
_base_ = '../ptq/ptq_pspnet-r50_cityscapes.py'
model = dict(
    quantizer=dict(
        weight=dict(observer=dict(type='MovingAverageObserver', momentum=1.0)),
        activation=dict(
            observer=dict(
                _delete_=True, type='MovingAverageObserver', momentum=0.01))))
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(
        type='CosineAnnealingLR', by_epoch=False, begin=0, T_max=4000, end=4000),
]
train_cfg = dict(max_iters=4000, val_interval=2000)
default_hooks = dict(checkpoint=dict(interval=2000))
custom_hooks = [
    dict(
        type='mmrazor.QuantScheduleHook',
        freeze_observers_at=2000,
        by_epoch=False)
]
