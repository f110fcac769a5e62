# Stage 2 of the pipeline on ImageNet: the pruned ResNet-50, with Subnet and weights of
# stage 1, learns from the dense one (KD, Hinton et al., 2015, arXiv:1503.02531).
# bash tools/dist_train.sh configs/combined/combined_r50_prune_8xb32-10e_in1k.py 8
# bash tools/dist_train.sh configs/combined/combined_r50_distill_8xb32-60e_in1k.py 8
# Expected: not published for these settings and not measured here.
_base_ = './combined_r50_prune_8xb32-10e_in1k.py'
pruned_folder = 'work_dirs/combined_r50_prune_8xb32-10e_in1k/'
model = dict(
    _delete_=True,
    type='mmrazor.SingleTeacherDistill',
    architecture=dict(
        type='mmrazor.SubnetModel',
        architecture=dict(cfg_path='mmpretrain::resnet/resnet50_8xb32_in1k.py'),
        subnet=pruned_folder + 'subnet.yaml',
        checkpoint=pruned_folder + 'pruned.pth'),
    teacher=dict(cfg_path='mmpretrain::resnet/resnet50_8xb32_in1k.py', pretrained=True),
    distiller=dict(
        losses=dict(
            kd=dict(
                type='KLDivergence',
                tau=1.0,
                loss_weight=3.0,
                student='output:head.fc',
                teacher='output:head.fc'))))
param_scheduler = dict(T_max=60)
train_cfg = dict(max_epochs=60)
val_cfg = dict(_delete_=True, type='mmrazor.DistillValLoop')
