# Single Path One-Shot (Guo et al., 2020, arXiv:1904.00420): evolution in
# the ShuffleNetV2 space (20 blocks, four candidates each), as in the paper: 1000 Subnets of up
# to 330 M MACs, scored on images that the supernet was not trained on.
# bash tools/dist_train.sh configs/nas/mmcls/spos/spos_shufflenetv2_supernet_8xb128_in1k.py 8
# bash tools/dist_search.sh configs/nas/mmcls/spos/spos_shufflenetv2_search_8xb128_in1k.py work_dirs/spos_shufflenetv2_supernet_8xb128_in1k/iter_150000.pth 8
# Expected: not measured here; README.md has what is published for such a network.
_base_ = [
    './spos_shufflenetv2_supernet_8xb128_in1k.py',
    '../../../_base_/searches/spos_evolution.py',
]
val_dataloader = dict(
    batch_size=256,
    dataset=dict(
        _delete_=True,
        type='KFoldDataset',
        fold=0,
        num_splits=26,
        test_mode=True,
        seed=0,
        dataset=dict(
            type='ImageNet',
            data_root='data/imagenet',
            split='train',
            pipeline=_base_.test_pipeline)))
search = dict(
    budget=dict(macs=(0, 330e6)),
    metric='accuracy/top1',
    calibrate_bn=4096)
