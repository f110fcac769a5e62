# DSNAS (Hu et al., 2020, arXiv:2002.09128): the Subnet that the run found, as a plain
# network, to test and to export with the weights that the run wrote beside it, subnet.pth.
# bash tools/dist_train.sh configs/nas/mmcls/dsnas/dsnas_shufflenetv2_supernet_8xb128_in1k.py 8
# python tools/export.py configs/nas/mmcls/dsnas/dsnas_shufflenetv2_subnet_8xb128_in1k.py work_dirs/dsnas_shufflenetv2_supernet_8xb128_in1k/subnet.pth
# Expected: the accuracy of the run it comes from; not measured here.
_base_ = './dsnas_shufflenetv2_supernet_8xb128_in1k.py'
model = dict(
    _delete_=True,
    type='mmrazor.SubnetModel',
    architecture=_base_.model.architecture,
    mutator=_base_.model.mutator,
    subnet='work_dirs/dsnas_shufflenetv2_supernet_8xb128_in1k/subnet.yaml')
optim_wrapper = dict(
    _delete_=True,
    optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=4e-5))
param_scheduler = dict(
    _delete_=True, type='CosineAnnealingLR', by_epoch=True, T_max=10)
train_cfg = dict(max_epochs=10)
custom_hooks = []
