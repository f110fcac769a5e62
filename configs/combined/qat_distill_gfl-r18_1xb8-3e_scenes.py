# Quantization-aware training (Jacob et al., 2018, arXiv:1712.05877) and distillation in
# one run: a small GFL on the composed scenes is trained on in 8 bits while it learns
# from a GFL with a ResNet-50 (CWD, Shu et al., 2021, arXiv:2011.13256).
# Train the float network and the teacher first.
# python tools/train.py configs/distill/mmdet/cwd/cwd_gfl-r18_student_1xb8-12e_scenes.py
# python tools/train.py configs/distill/mmdet/cwd/cwd_gfl-r50_teacher_1xb8-24e_scenes.py
# python tools/train.py configs/combined/qat_distill_gfl-r18_1xb8-3e_scenes.py
# Expected: see README.md.
_base_ = '../distill/mmdet/cwd/cwd_gfl-r50-r18_distill_1xb8-12e_scenes.py'
float_name = 'cwd_gfl-r18_student_1xb8-12e_scenes'
model = dict(
    type='mmrazor.Quantize',
    architecture=dict(checkpoint='work_dirs/' + float_name + '/epoch_12.pth'),
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
optim_wrapper = dict(optimizer=dict(lr=0.0001))
param_scheduler = [
    dict(
        type='CosineAnnealingLR', by_epoch=True, begin=0, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=3, val_interval=3)
custom_hooks = [dict(type='mmrazor.QuantScheduleHook', freeze_observers_at=2)]
