# Single Path One-Shot (Guo et al., 2020, arXiv:1904.00420): the Subnet that the search
# found, from random weights on all of ImageNet. As in the paper: 300000 steps of 1024.
# bash tools/dist_train.sh configs/nas/mmcls/spos/spos_mobilenet_supernet_8xb128_in1k.py 8
# bash tools/dist_search.sh configs/nas/mmcls/spos/spos_mobilenet_search_8xb128_in1k.py work_dirs/spos_mobilenet_supernet_8xb128_in1k/iter_150000.pth 8
# bash tools/dist_train.sh configs/nas/mmcls/spos/spos_mobilenet_retrain_8xb128_in1k.py 8
# Expected: published top-1 75.98 at 490 M MACs; not measured here.
_base_ = './spos_shufflenetv2_retrain_8xb128_in1k.py'
model = dict(
    architecture=dict(
        backbone=dict(type='mmrazor.SearchableMobileNetV2'),
        head=dict(in_channels=1728)),
    subnet='work_dirs/spos_mobilenet_search_8xb128_in1k/subnet.yaml')
