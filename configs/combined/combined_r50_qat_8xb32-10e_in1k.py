# Stage 3 of the pipeline on ImageNet: the pruned and distilled ResNet-50 is trained on
# in 8 bits (Jacob et al., 2018, arXiv:1712.05877), with the teacher and the loss of
# stage 2, from whose weights it starts.
# bash tools/dist_train.sh configs/combined/combined_r50_prune_8xb32-10e_in1k.py 8
# bash tools/dist_train.sh configs/combined/combined_r50_distill_8xb32-60e_in1k.py 8
# bash tools/dist_train.sh configs/combined/combined_r50_qat_8xb32-10e_in1k.py 8
# Expected: not published for these settings and not measured here.
_base_ = './combined_r50_distill_8xb32-60e_in1k.py'
model = dict(
    type='mmrazor.Quantize',
    architecture=dict(
        checkpoint='work_dirs/combined_r50_distill_8xb32-60e_in1k/epoch_60.pth'),
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
optim_wrapper = dict(optimizer=dict(lr=0.0004))
param_scheduler = dict(T_max=10)
train_cfg = dict(max_epochs=10)
custom_hooks = [dict(type='mmrazor.QuantScheduleHook', freeze_observers_at=8)]
