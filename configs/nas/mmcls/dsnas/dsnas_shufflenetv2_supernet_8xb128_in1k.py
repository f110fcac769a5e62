# DSNAS (Hu et al., 2020, arXiv:2002.09128) in the space of Single Path One-Shot on
# ImageNet: weights and architecture parameters learn together, a path at a time, and what
# is left in the end needs no retraining. 240 epochs of batch 1024: 15 for the weights
# alone, 65 for both, 160 for the Subnet that is left. The lengths of the parts and the
# optimizer of the architecture parameters are this config's own.
# bash tools/dist_train.sh configs/nas/mmcls/dsnas/dsnas_shufflenetv2_supernet_8xb128_in1k.py 8
# Expected: subnet.yaml and subnet.pth in the work folder, and the top-1 accuracy of that Subnet;
# published 73.56 at 299 M MACs, not measured here.
_base_ = [
    'mmpretrain::_base_/datasets/imagenet_bs64.py',
    'mmpretrain::_base_/default_runtime.py',
    '../../../_base_/models/shufflenetv2_space_in1k.py',
]
model = dict(
    type='mmrazor.DSNAS',
    pretrain_epochs=15,
    finetune_epochs=160,
    mutator=dict(
        type='NasMutator',
        # The places that the backbone has already, with its own candidates.
        places={
            'backbone.layers.?.?':
            dict(type='OneHotMutableOP', candidates='{candidates}')
        }))
train_dataloader = dict(batch_size=128)
optim_wrapper = dict(
    constructor='mmrazor.SeparateOptimWrapperConstructor',
    architecture=dict(
        optimizer=dict(type='SGD', lr=0.5, momentum=0.9, weight_decay=4e-5),
        paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0)),
    mutator=dict(
        optimizer=dict(
            type='Adam', lr=1e-3, betas=(0.5, 0.999), weight_decay=0.0)))
param_scheduler = dict(
    architecture=[
        dict(
            type='PolyLR',
            power=1.0,
            eta_min=0.0,
            begin=0,
            end=240,
            by_epoch=True,
            convert_to_iter_based=True)
    ],
    mutator=[])
train_cfg = dict(by_epoch=True, max_epochs=240, val_interval=5)
val_cfg = dict()
test_cfg = dict()
custom_hooks = [
    dict(type='mmrazor.DumpSubnetHook', interval=10, weights=True)
]
default_hooks = dict(checkpoint=dict(max_keep_ckpts=2))
randomness = dict(seed=0)
