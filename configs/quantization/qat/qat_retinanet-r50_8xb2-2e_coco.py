# Quantization-aware training (Jacob et al., 2018, arXiv:1712.05877): RetinaNet in 8 bits on
# COCO, from the weights that mmdet publishes. Boxes are decoded in float.
# bash tools/dist_train.sh configs/quantization/qat/qat_retinanet-r50_8xb2-2e_coco.py 8
# Expected: published AP none, in float 36.5; not measured here.
_base_ = '../ptq/ptq_retinanet-r50_coco.py'
model = dict(
    quantizer=dict(
        weight=dict(observer=dict(type='MovingAverageObserver', momentum=1.0)),
        activation=dict(
            observer=dict(
                _delete_=True, type='MovingAverageObserver', momentum=0.01))))
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        begin=0,
        T_max=2,
        end=2,
        convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=2)
custom_hooks = [dict(type='mmrazor.QuantScheduleHook', freeze_observers_at=1)]
