# DARTS (Liu et al., 2019, arXiv:1806.09055), small enough for a CPU: the cells that the
# small search found, in a network of 6 cells of 16 channels, from random weights on half
# of CIFAR-10's training set.
# python tools/train.py configs/nas/mmcls/darts/darts_small_supernet_1xb64-10e_cifar10.py
# python tools/train.py configs/nas/mmcls/darts/darts_small_retrain_1xb96-20e_cifar10.py
# Expected: the top-1 accuracy of the Subnet; README.md says what is measured.
_base_ = './darts_retrain_1xb96-600e_cifar10.py'
model = dict(
    architecture=dict(
        backbone=dict(num_cells=6, base_channels=16),
        head=dict(head=dict(in_channels=256))),
    subnet='work_dirs/darts_small_supernet_1xb64-10e_cifar10/subnet.yaml')
train_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        _delete_=True,
        type='KFoldDataset',
        num_splits=2,
        seed=0,
        fold=0,
        dataset=_base_.train_dataloader.dataset))
val_dataloader = dict(num_workers=0, persistent_workers=False)
test_dataloader = val_dataloader
param_scheduler = dict(end=20, T_max=20)
train_cfg = dict(max_epochs=20)
