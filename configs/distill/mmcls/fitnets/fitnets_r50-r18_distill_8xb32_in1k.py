# FitNets: Hints for Thin Deep Nets
# (Romero et al., 2015, arXiv:1412.6550): ResNet-50 to ResNet-18
# on ImageNet. The teacher has the weights that mmpretrain publishes.
# python tools/train.py configs/distill/mmcls/fitnets/fitnets_r50-r18_distill_8xb32_in1k.py
# Expected: published top-1 70.58, the student alone 69.90; not measured here.
_base_ = [
    'mmpretrain::_base_/datasets/imagenet_bs32.py',
    'mmpretrain::_base_/schedules/imagenet_bs256.py',
    'mmpretrain::_base_/default_runtime.py',
]
model = dict(
    type='mmrazor.SingleTeacherDistill',
    architecture=dict(
        cfg_path='mmpretrain::resnet/resnet18_8xb32_in1k.py', pretrained=False),
    teacher=dict(cfg_path='mmpretrain::resnet/resnet50_8xb32_in1k.py', pretrained=True),
    distiller=dict(
        losses=dict(
            hint=dict(
                type='L2Loss',
                loss_weight=10.0,
                student='output:backbone.layer3',
                teacher='output:backbone.layer3',
                student_connector=dict(
                    type='ConvModuleConnector',
                    in_channels=256,
                    out_channels=1024,
                    norm_cfg=dict(type='BN'))))))
val_cfg = dict(type='mmrazor.DistillValLoop')
