# Single Path One-Shot (Guo et al., 2020, arXiv:1904.00420) on Fashion-MNIST, on a CPU. It
# shows that a network needs no class of its own to be searched: the quickstart's student
# is the host's ResNet, and the places are named here. Each 3x3 convolution may become
# 1x1, 5x5 or one with four groups: 12 places, 4^12 Subnets.
# python tools/train.py configs/nas/mmcls/spos/spos_r18_supernet_1xb128-20e_fashion_mnist.py
# Expected: no accuracy of its own; what is validated is one path of the supernet.
_base_ = '../../../quickstart/student.py'
conv = dict(
    in_channels='{in_channels}',
    out_channels='{out_channels}',
    stride='{stride}',
    bias=False)
model = dict(
    _delete_=True,
    type='mmrazor.SPOS',
    architecture=dict(cfg_path='mmrazor::quickstart/student.py'),
    mutator=dict(
        type='NasMutator',
        places={
            'backbone.layer?.?.conv?': dict(
                type='OneShotMutableOP',
                candidates=dict(
                    k3='original',
                    k1=dict(type='torch.nn.Conv2d', kernel_size=1, **conv),
                    k5=dict(
                        type='torch.nn.Conv2d', kernel_size=5, padding=2, **conv),
                    k3g4=dict(
                        type='torch.nn.Conv2d',
                        kernel_size=3,
                        padding=1,
                        groups=4,
                        **conv)))
        }))
train_cfg = dict(max_epochs=20, val_interval=5)
param_scheduler = dict(T_max=20)
