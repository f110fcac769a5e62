# Single Path One-Shot (Guo et al., 2020, arXiv:1904.00420): evolution in
# the MobileNetV2 space of ProxylessNAS (GPU widths), as in the paper: 1000 Subnets of up
# to 490 M MACs, scored on images that the supernet was not trained on.
# bash tools/dist_train.sh configs/nas/mmcls/spos/spos_mobilenet_supernet_8xb128_in1k.py 8
# bash tools/dist_search.sh configs/nas/mmcls/spos/spos_mobilenet_search_8xb128_in1k.py work_dirs/spos_mobilenet_supernet_8xb128_in1k/iter_150000.pth 8
# Expected: not measured here; README.md has what is published for such a network.
_base_ = './spos_shufflenetv2_search_8xb128_in1k.py'
model = dict(
    architecture=dict(
        backbone=dict(type='mmrazor.SearchableMobileNetV2'),
        head=dict(in_channels=1728)))
search = dict(budget=dict(macs=(0, 490e6)))
