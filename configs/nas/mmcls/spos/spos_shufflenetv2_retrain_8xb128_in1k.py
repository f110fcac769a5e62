# Single Path One-Shot (Guo et al., 2020, arXiv:1904.00420): the Subnet that the search
# found, from random weights on all of ImageNet. As in the paper: 300000 steps of 1024.
# bash tools/dist_train.sh configs/nas/mmcls/spos/spos_shufflenetv2_supernet_8xb128_in1k.py 8
# bash tools/dist_search.sh configs/nas/mmcls/spos/spos_shufflenetv2_search_8xb128_in1k.py work_dirs/spos_shufflenetv2_supernet_8xb128_in1k/iter_150000.pth 8
# bash tools/dist_train.sh configs/nas/mmcls/spos/spos_shufflenetv2_retrain_8xb128_in1k.py 8
# Expected: published top-1 73.87 at 330 M MACs; not measured here.
_base_ = './spos_shufflenetv2_supernet_8xb128_in1k.py'
model = dict(
    _delete_=True,
    type='mmrazor.SubnetModel',
    architecture=_base_.model.architecture,
    mutator=dict(type='NasMutator'),
    subnet='work_dirs/spos_shufflenetv2_search_8xb128_in1k/subnet.yaml')
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='ImageNet',
        data_root='data/imagenet',
        split='train',
        pipeline=_base_.train_pipeline))
train_cfg = dict(max_iters=300000)
