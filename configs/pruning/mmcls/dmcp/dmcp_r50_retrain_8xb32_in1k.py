# DMCP (Guo et al., 2020, arXiv:2005.03354): the ResNet-50 that the search found, trained
# from random weights, as in the paper. It is the host's own model and schedule.
# python tools/train.py configs/pruning/mmcls/dmcp/dmcp_r50_search_8xb32-60e_in1k.py
# python tools/train.py configs/pruning/mmcls/dmcp/dmcp_r50_retrain_8xb32_in1k.py
# Expected: published top-1 76.11 at 2.07 G MACs; not measured here.
_base_ = 'mmpretrain::resnet/resnet50_8xb32_in1k.py'
model = dict(
    _delete_=True,
    type='mmrazor.SubnetModel',
    architecture=dict(
        cfg_path='mmpretrain::resnet/resnet50_8xb32_in1k.py', pretrained=False),
    subnet='work_dirs/dmcp_r50_search_8xb32-60e_in1k/subnet.yaml')
