# Quantization-aware training (Jacob et al., 2018, arXiv:1712.05877): YOLOX-s in 8 bits on
# COCO, from the weights that mmdet publishes. Trained as YOLOX is in its last epochs:
# without mosaics.
# bash tools/dist_train.sh configs/quantization/qat/qat_yolox-s_8xb8-2e_coco.py 8
# Expected: published AP none, in float 40.5; not measured here.
_base_ = '../ptq/ptq_yolox-s_coco.py'
model = dict(
    quantizer=dict(
        weight=dict(observer=dict(type='MovingAverageObserver', momentum=1.0)),
        activation=dict(
            observer=dict(
                _delete_=True, type='MovingAverageObserver', momentum=0.01))))
train_dataloader = dict(
    dataset=dict(skip_type_keys=('Mosaic', 'RandomAffine', 'MixUp')))
optim_wrapper = dict(optimizer=dict(lr=1e-4))
param_scheduler = [
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        begin=0,
        T_max=2,
        end=2,
        convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=2, val_interval=1)
custom_hooks = [dict(type='mmrazor.QuantScheduleHook', freeze_observers_at=1)]
