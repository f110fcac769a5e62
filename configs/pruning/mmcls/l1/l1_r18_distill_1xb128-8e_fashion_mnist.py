# Pruning Filters for Efficient ConvNets (Li et al., 2017, arXiv:1608.08710):
# the same pruning while the network learns from the dense network itself
# (KD, Hinton et al., 2015, arXiv:1503.02531). Outputs keep their size, so they can be
# distilled throughout.
# Train the dense network first.
# python tools/train.py configs/quickstart/teacher.py
# python tools/train.py configs/pruning/mmcls/l1/l1_r18_distill_1xb128-8e_fashion_mnist.py
# Expected: the top-1 accuracy of the pruned network; see README.md.
_base_ = './l1_r18_finetune_1xb128-8e_fashion_mnist.py'
teacher_name = 'teacher'
model = dict(
    teacher=dict(
        cfg_path='mmrazor::quickstart/teacher.py',
        checkpoint='work_dirs/' + teacher_name + '/epoch_8.pth'),
    distiller=dict(
        losses=dict(
            kd=dict(
                type='KLDivergence',
                tau=4.0,
                loss_weight=1.0,
                student='output:head.fc',
                teacher='output:head.fc'))))
val_cfg = dict(_delete_=True, type='mmrazor.DistillValLoop')
