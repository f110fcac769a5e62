# DetNAS (Chen et al., 2019, arXiv:1903.10979), step 1: pre-train the supernet on ImageNet,
# as Single Path One-Shot does, for 300000 steps of 1024 images.
# bash tools/dist_train.sh configs/nas/mmdet/detnas/detnas_shufflenetv2_supernet-pretrain_8xb128_in1k.py 8
# Expected: the weights that step 2 begins with.
_base_ = '../../mmcls/spos/spos_shufflenetv2_supernet_8xb128_in1k.py'
model = dict(
    architecture=dict(
        backbone=dict(norm_cfg=dict(type='SyncBN', requires_grad=True))))
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='ImageNet',
        data_root='data/imagenet',
        split='train',
        pipeline=_base_.train_pipeline))
train_cfg = dict(max_iters=300000)
