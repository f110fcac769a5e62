# Single Path One-Shot (Guo et al., 2020, arXiv:1904.00420) on CIFAR-10: evolution, with
# up to 6 M MACs (the space: 1.1 to 13 M), scored on images the supernet was not trained on.
# python tools/train.py configs/nas/mmcls/spos/spos_mobilenet_supernet_1xb128-30e_cifar10.py
# python tools/search.py configs/nas/mmcls/spos/spos_mobilenet_search_1xb128-30e_cifar10.py work_dirs/spos_mobilenet_supernet_1xb128-30e_cifar10/epoch_30.pth
# Expected: a Subnet file; README.md says what is measured.
_base_ = [
    './spos_mobilenet_supernet_1xb128-30e_cifar10.py',
    '../../../_base_/searches/spos_evolution.py',
]
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='KFoldDataset',
        fold=0,
        num_splits=25,
        test_mode=True,
        seed=0,
        dataset=dict(
            type='CustomDataset',
            data_root='data/cifar10',
            data_prefix='train',
            metainfo=dict(classes=_base_.classes),
            pipeline=_base_.test_pipeline)))
search = dict(
    budget=dict(macs=(0, 6e6)),
    metric='accuracy/top1',
    calibrate_bn=1024)
