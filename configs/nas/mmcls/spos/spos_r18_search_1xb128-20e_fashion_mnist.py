# Single Path One-Shot (Guo et al., 2020, arXiv:1904.00420) on Fashion-MNIST: evolution,
# with the MACs of the quickstart's student, scored on 2000 training images that the
# supernet was not trained on.
# python tools/train.py configs/nas/mmcls/spos/spos_r18_supernet_1xb128-20e_fashion_mnist.py
# python tools/search.py configs/nas/mmcls/spos/spos_r18_search_1xb128-20e_fashion_mnist.py work_dirs/spos_r18_supernet_1xb128-20e_fashion_mnist/epoch_20.pth
# Expected: a Subnet file; README.md says what is measured.
_base_ = [
    './spos_r18_supernet_1xb128-20e_fashion_mnist.py',
    '../../../_base_/searches/spos_evolution.py',
]
val_dataloader = dict(dataset=dict(split='train', test_mode=False, indices=-2000))
search = dict(
    budget=dict(macs=(0, 1.45e6)),
    metric='accuracy/top1',
    calibrate_bn=1024)
