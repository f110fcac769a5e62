# Pruning Filters for Efficient ConvNets (Li et al., 2017, arXiv:1608.08710):
# RetinaNet, ResNet-50, on COCO, to half its MACs, while it learns from the dense
# detector (CWD, Shu et al., 2021, arXiv:2011.13256) on the class scores.
# python tools/train.py configs/pruning/mmdet/l1/l1_retinanet-r50_distill_8xb2-1x_coco.py
# Expected: not published for these settings and not measured here.
_base_ = './l1_retinanet-r50_finetune_8xb2-1x_coco.py'
model = dict(
    teacher=dict(
        cfg_path='mmdet::retinanet/retinanet_r50_fpn_1x_coco.py', pretrained=True),
    distiller=dict(
        losses=dict(
            cwd=dict(
                type='ChannelWiseDivergence',
                tau=1.0,
                loss_weight=5.0,
                student='output:bbox_head.retina_cls',
                teacher='output:bbox_head.retina_cls'))))
val_cfg = dict(_delete_=True, type='mmrazor.DistillValLoop')
