# Single Path One-Shot (Guo et al., 2020, arXiv:1904.00420) on CIFAR-10: the Subnet that
# the search found, from random weights on the whole training set.
# python tools/train.py configs/nas/mmcls/spos/spos_mobilenet_supernet_1xb128-30e_cifar10.py
# python tools/search.py configs/nas/mmcls/spos/spos_mobilenet_search_1xb128-30e_cifar10.py work_dirs/spos_mobilenet_supernet_1xb128-30e_cifar10/epoch_30.pth
# python tools/train.py configs/nas/mmcls/spos/spos_mobilenet_retrain_1xb128-30e_cifar10.py
# Expected: the top-1 accuracy of the Subnet; README.md says what is measured.
_base_ = './spos_mobilenet_supernet_1xb128-30e_cifar10.py'
model = dict(
    _delete_=True,
    type='mmrazor.SubnetModel',
    architecture=_base_.model.architecture,
    mutator=dict(type='NasMutator'),
    subnet='work_dirs/spos_mobilenet_search_1xb128-30e_cifar10/subnet.yaml')
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='CustomDataset',
        data_root='data/cifar10',
        data_prefix='train',
        metainfo=dict(classes=_base_.classes),
        pipeline=_base_.train_pipeline))
optim_wrapper = dict(optimizer=dict(weight_decay=5e-4))
