# Stage 1 of the pipeline: pruning by L1 norms (Li et al., 2017, arXiv:1608.08710) to
# half the MACs, in three steps over half an epoch. It leaves subnet.yaml and pruned.pth
# to stage 2. Train the dense network first.
# python tools/train.py configs/combined/combined_r18_dense_1xb128-5e_cifar10.py
# python tools/train.py configs/combined/combined_r18_prune_1xb128-1e_cifar10.py
# Expected: the row of the pruned network in README.md.
_base_ = './combined_r18_dense_1xb128-5e_cifar10.py'
dense_name = 'combined_r18_dense_1xb128-5e_cifar10'
model = dict(
    _delete_=True,
    type='mmrazor.Compress',
    architecture=dict(
        cfg_path='mmrazor::combined/' + dense_name + '.py',
        checkpoint='work_dirs/' + dense_name + '/epoch_5.pth'),
    pruner=dict(
        type='Pruner',
        importance=dict(type='L1Importance'),
        budget=dict(macs=0.5),
        divisor=4,
        schedule=dict(
            type='CubicSchedule',
            begin=0,
            end=200,
            interval=100,
            by_epoch=False)))
optim_wrapper = dict(optimizer=dict(lr=0.02))
param_scheduler = []
train_cfg = dict(max_epochs=1)
