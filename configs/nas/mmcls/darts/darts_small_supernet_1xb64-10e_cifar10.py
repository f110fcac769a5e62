# DARTS (Liu et al., 2019, arXiv:1806.09055), first order, small enough for a CPU: 4 cells
# of 8 channels, 5000 images of CIFAR-10 for the weights and 5000 others for the
# architecture parameters, 10 epochs.
# python tools/train.py configs/nas/mmcls/darts/darts_small_supernet_1xb64-10e_cifar10.py
# Expected: subnet.yaml in the work folder; what is validated is the supernet.
_base_ = './darts_supernet_1xb64-50e_cifar10.py'
model = dict(
    unroll=False,
    architecture=dict(
        backbone=dict(num_cells=4, base_channels=8), head=dict(in_channels=128)))
tenth = dict(
    type='KFoldDataset',
    num_splits=10,
    seed=0,
    test_mode=True,
    dataset=_base_.train_dataloader.dataset.dataset)
train_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(_delete_=True, fold=0, **tenth))
val_dataloader = dict(num_workers=0, persistent_workers=False)
test_dataloader = val_dataloader
train_cfg = dict(
    max_epochs=10,
    mutator_dataloader=dict(dataset=dict(_delete_=True, fold=1, **tenth)))
optim_wrapper = dict(mutator=dict(optimizer=dict(lr=3e-3)))
param_scheduler = dict(
    architecture=[
        dict(
            type='CosineAnnealingLR',
            by_epoch=True,
            begin=0,
            end=10,
            T_max=10,
            eta_min=1e-3)
    ])
custom_hooks = [dict(type='mmrazor.DumpSubnetHook')]
