# Pruning Filters for Efficient ConvNets (Li et al., 2017, arXiv:1608.08710):
# ResNet-34 on ImageNet. As in the paper, the first convolution of every block loses the
# filters of smallest L1 norm, all at once, residual streams keep their width, and
# training goes on for 20 epochs at a learning rate of 0.001. The paper sets a rate for
# each stage; here one share for all groups meets the budget.
# The dense weights are those that mmpretrain publishes.
# python tools/train.py configs/pruning/mmcls/l1/l1_r34_finetune_8xb32-20e_in1k.py
# Expected: published top-1 73.61 at 84.2 % of the MACs, dense 73.62; not measured here.
_base_ = [
    'mmpretrain::_base_/datasets/imagenet_bs32.py',
    'mmpretrain::_base_/schedules/imagenet_bs256.py',
    'mmpretrain::_base_/default_runtime.py',
]
model = dict(
    type='mmrazor.Compress',
    architecture=dict(
        cfg_path='mmpretrain::resnet/resnet34_8xb32_in1k.py', pretrained=True),
    pruner=dict(
        type='Pruner',
        importance=dict(type='L1Importance'),
        budget=dict(macs=0.842),
        ranking='local',
        # A norm on each residual stream keeps all its size, and so the whole stream.
        ignore=[
            'backbone.bn1', 'backbone.layer2.0.bn2', 'backbone.layer3.0.bn2',
            'backbone.layer4.0.bn2'
        ]))
optim_wrapper = dict(optimizer=dict(lr=0.001))
param_scheduler = dict(_delete_=True, type='ConstantLR', factor=1.0, by_epoch=True)
train_cfg = dict(max_epochs=20)
