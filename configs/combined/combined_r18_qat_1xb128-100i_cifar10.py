# Stage 3 of the pipeline: the pruned and distilled network is trained on in 8 bits
# (Jacob et al., 2018, arXiv:1712.05877), with the teacher and the loss of stage 2, from
# whose weights it starts. With its norms folded it takes a tenth of the usual rate.
# Run stages 1 and 2 first.
# python tools/train.py configs/combined/combined_r18_dense_1xb128-5e_cifar10.py
# python tools/train.py configs/combined/combined_r18_prune_1xb128-1e_cifar10.py
# python tools/train.py configs/combined/combined_r18_distill_1xb128-2e_cifar10.py
# python tools/train.py configs/combined/combined_r18_qat_1xb128-100i_cifar10.py
# Expected: the row of the network in 8 bits in README.md.
_base_ = './combined_r18_distill_1xb128-2e_cifar10.py'
model = dict(
    type='mmrazor.Quantize',
    architecture=dict(
        checkpoint='work_dirs/combined_r18_distill_1xb128-2e_cifar10/epoch_2.pth'),
    quantizer=dict(
        type='Quantizer',
        backend='onnxruntime',
        weight=dict(
            bits=8,
            granularity='channel',
            observer=dict(type='MovingAverageObserver', momentum=1.0)),
        activation=dict(
            bits=8,
            observer=dict(type='MovingAverageObserver', momentum=0.01))))
optim_wrapper = dict(
    optimizer=dict(
        _delete_=True, type='SGD', lr=0.0005, momentum=0.9, weight_decay=5e-4))
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=False, begin=0)]
train_dataloader = dict(sampler=dict(type='InfiniteSampler', shuffle=True))
train_cfg = dict(
    _delete_=True, type='IterBasedTrainLoop', max_iters=100, val_interval=100)
default_hooks = dict(
    logger=dict(interval=20), checkpoint=dict(interval=100, by_epoch=False))
log_processor = dict(by_epoch=False)
custom_hooks = [
    dict(type='mmrazor.QuantScheduleHook', by_epoch=False, freeze_observers_at=50)
]
