# Quantization-aware training (Jacob et al., 2018, arXiv:1712.05877): a narrow YOLOX-tiny
# on the composed scenes in 8 bits; ranges follow the training for the first of its 2
# epochs.
# Train the float network first.
# python tools/train.py configs/quantization/ptq/float_yolox-tiny_1xb8-12e_scenes.py
# python tools/train.py configs/quantization/qat/qat_yolox-tiny_1xb8-2e_scenes.py
# Expected: the box AP of the float network or more; see README.md.
_base_ = '../ptq/float_yolox-tiny_1xb8-12e_scenes.py'
float_name = 'float_yolox-tiny_1xb8-12e_scenes'
model = dict(
    _delete_=True,
    type='mmrazor.Quantize',
    architecture=dict(
        cfg_path='mmrazor::quantization/ptq/' + float_name + '.py',
        checkpoint='work_dirs/' + float_name + '/epoch_12.pth'),
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
optim_wrapper = dict(optimizer=dict(lr=2e-4))
param_scheduler = [
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        begin=0,
        T_max=2,
        end=2,
        convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=2, val_interval=2)
custom_hooks = [dict(type='mmrazor.QuantScheduleHook', freeze_observers_at=1)]
