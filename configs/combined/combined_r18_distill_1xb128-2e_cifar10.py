# Stage 2 of the pipeline: the pruned network, with Subnet and weights of stage 1, learns
# from the dense one (KD, Hinton et al., 2015, arXiv:1503.02531). Run stage 1 first.
# python tools/train.py configs/combined/combined_r18_dense_1xb128-5e_cifar10.py
# python tools/train.py configs/combined/combined_r18_prune_1xb128-1e_cifar10.py
# python tools/train.py configs/combined/combined_r18_distill_1xb128-2e_cifar10.py
# Expected: the row of the distilled network in README.md.
_base_ = './combined_r18_dense_1xb128-5e_cifar10.py'
dense_name = 'combined_r18_dense_1xb128-5e_cifar10'
pruned_folder = 'work_dirs/combined_r18_prune_1xb128-1e_cifar10/'
model = dict(
    _delete_=True,
    type='mmrazor.SingleTeacherDistill',
    architecture=dict(
        type='mmrazor.SubnetModel',
        architecture=dict(cfg_path='mmrazor::combined/' + dense_name + '.py'),
        subnet=pruned_folder + 'subnet.yaml',
        checkpoint=pruned_folder + 'pruned.pth'),
    teacher=dict(
        cfg_path='mmrazor::combined/' + dense_name + '.py',
        checkpoint='work_dirs/' + dense_name + '/epoch_5.pth'),
    distiller=dict(
        losses=dict(
            kd=dict(
                type='KLDivergence',
                tau=4.0,
                loss_weight=1.0,
                student='output:head.fc',
                teacher='output:head.fc'))))
optim_wrapper = dict(optimizer=dict(lr=0.05))
train_cfg = dict(max_epochs=2)
val_cfg = dict(_delete_=True, type='mmrazor.DistillValLoop')
