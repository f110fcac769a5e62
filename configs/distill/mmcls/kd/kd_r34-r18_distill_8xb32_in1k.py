# Distilling the Knowledge in a Neural Network
# (Hinton et al., 2015, arXiv:1503.02531): ResNet-34 to ResNet-18
# on ImageNet. The teacher has the weights that mmpretrain publishes.
# python tools/train.py configs/distill/mmcls/kd/kd_r34-r18_distill_8xb32_in1k.py
# Expected: published top-1 71.81, the student alone 69.90; not measured here.
_base_ = [
    'mmpretrain::_base_/datasets/imagenet_bs32.py',
    'mmpretrain::_base_/schedules/imagenet_bs256.py',
    'mmpretrain::_base_/default_runtime.py',
]
model = dict(
    type='mmrazor.SingleTeacherDistill',
    architecture=dict(
        cfg_path='mmpretrain::resnet/resnet18_8xb32_in1k.py', pretrained=False),
    teacher=dict(cfg_path='mmpretrain::resnet/resnet34_8xb32_in1k.py', pretrained=True),
    distiller=dict(
        losses=dict(
            kd=dict(
                type='KLDivergence',
                tau=1.0,
                loss_weight=3.0,
                student='output:head.fc',
                teacher='output:head.fc'))))
val_cfg = dict(type='mmrazor.DistillValLoop')
