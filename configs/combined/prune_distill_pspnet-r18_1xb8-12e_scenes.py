# Pruning and distillation in one run: a small PSPNet on the composed scenes is pruned by
# L1 norms (Li et al., 2017, arXiv:1608.08710) to half its MACs in four steps, while it
# learns from a PSPNet with a ResNet-50 (CWD, Shu et al., 2021, arXiv:2011.13256).
# Train the dense network and the teacher first.
# python tools/train.py configs/pruning/mmseg/l1/l1_pspnet-r18_dense_1xb8-12e_scenes.py
# python tools/train.py configs/distill/mmseg/cwd/cwd_pspnet-r50_teacher_1xb8-20e_scenes.py
# python tools/train.py configs/combined/prune_distill_pspnet-r18_1xb8-12e_scenes.py
# Expected: see README.md.
_base_ = '../pruning/mmseg/l1/l1_pspnet-r18_finetune_1xb8-12e_scenes.py'
teacher_name = 'cwd_pspnet-r50_teacher_1xb8-20e_scenes'
model = dict(
    teacher=dict(
        cfg_path='mmrazor::distill/mmseg/cwd/' + teacher_name + '.py',
        checkpoint='work_dirs/' + teacher_name + '/epoch_20.pth'),
    distiller=dict(
        losses=dict(
            cwd=dict(
                type='ChannelWiseDivergence',
                tau=1.0,
                loss_weight=5.0,
                student='output:decode_head.conv_seg',
                teacher='output:decode_head.conv_seg'))))
val_cfg = dict(_delete_=True, type='mmrazor.DistillValLoop')
