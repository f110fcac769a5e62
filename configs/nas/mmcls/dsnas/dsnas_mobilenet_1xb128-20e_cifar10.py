# DSNAS (Hu et al., 2020, arXiv:2002.09128) on CIFAR-10, on a CPU, in the small space of
# spos_mobilenet_supernet_1xb128-30e_cifar10.py: 2 epochs for the weights alone, 8 for
# both, 10 for the Subnet that is left.
# python tools/train.py configs/nas/mmcls/dsnas/dsnas_mobilenet_1xb128-20e_cifar10.py
# Expected: subnet.yaml and subnet.pth in the work folder, and the top-1 accuracy of that Subnet.
_base_ = '../spos/spos_mobilenet_supernet_1xb128-30e_cifar10.py'
model = dict(
    type='mmrazor.DSNAS',
    pretrain_epochs=2,
    finetune_epochs=10,
    mutator=dict(
        type='NasMutator',
        # The places that the backbone has already, with its own candidates.
        places={
            'backbone.layers.[1-3].?':
            dict(type='OneHotMutableOP', candidates='{candidates}')
        }))
optim_wrapper = dict(
    _delete_=True,
    constructor='mmrazor.SeparateOptimWrapperConstructor',
    architecture=dict(
        optimizer=dict(
            type='SGD', lr=0.1, momentum=0.9, weight_decay=1e-4, nesterov=True)),
    mutator=dict(optimizer=dict(type='Adam', lr=0.01, betas=(0.5, 0.999))))
param_scheduler = dict(
    _delete_=True,
    architecture=[
        dict(
            type='CosineAnnealingLR',
            by_epoch=True,
            begin=0,
            end=20,
            T_max=20,
            convert_to_iter_based=True)
    ],
    mutator=[])
train_cfg = dict(max_epochs=20, val_interval=5)
custom_hooks = [dict(type='mmrazor.DumpSubnetHook', weights=True)]
