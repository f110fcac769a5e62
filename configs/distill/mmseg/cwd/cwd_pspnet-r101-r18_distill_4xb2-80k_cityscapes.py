# Channel-wise Knowledge Distillation for Dense Prediction
# (Shu et al., 2021, arXiv:2011.13256), on
# the logits of PSPNet, ResNet-101 to ResNet-18,
# on Cityscapes. The teacher has the weights that mmseg publishes.
# python tools/train.py configs/distill/mmseg/cwd/cwd_pspnet-r101-r18_distill_4xb2-80k_cityscapes.py
# Expected: published mIoU 75.54, the student alone 74.87; not measured here.
_base_ = 'mmseg::pspnet/pspnet_r18-d8_4xb2-80k_cityscapes-512x1024.py'
model = dict(
    _delete_=True,
    type='mmrazor.SingleTeacherDistill',
    architecture=dict(
        cfg_path='mmseg::pspnet/pspnet_r18-d8_4xb2-80k_cityscapes-512x1024.py'),
    teacher=dict(
        cfg_path='mmseg::pspnet/pspnet_r101-d8_4xb2-80k_cityscapes-512x1024.py',
        pretrained=True),
    distiller=dict(
        losses=dict(
            cwd=dict(
                type='ChannelWiseDivergence',
                tau=1.0,
                loss_weight=5.0,
                student='output:decode_head.conv_seg',
                teacher='output:decode_head.conv_seg'))))
val_cfg = dict(_delete_=True, type='mmrazor.DistillValLoop')
