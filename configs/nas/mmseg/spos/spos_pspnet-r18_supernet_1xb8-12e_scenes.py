# Single Path One-Shot (Guo et al., 2020, arXiv:1904.00420) for a segmentor on the composed
# scenes, on a CPU: PSPNet with a narrow ResNet-18 whose places are named here. Each 3x3
# convolution may become 1x1, one with four groups or one without dilation: 16 places.
# python tools/train.py configs/nas/mmseg/spos/spos_pspnet-r18_supernet_1xb8-12e_scenes.py
# Expected: no mIoU of its own; what is validated is one path of the supernet.
_base_ = '../../../distill/mmseg/cwd/cwd_pspnet-r18_student_1xb8-12e_scenes.py'
conv = dict(
    in_channels='{in_channels}',
    out_channels='{out_channels}',
    stride='{stride}',
    bias=False)
model = dict(
    _delete_=True,
    type='mmrazor.SPOS',
    architecture=dict(
        cfg_path='mmrazor::distill/mmseg/cwd/cwd_pspnet-r18_student_1xb8-12e_scenes.py'),
    mutator=dict(
        type='NasMutator',
        places={
            'backbone.layer?.?.conv?': dict(
                type='OneShotMutableOP',
                candidates=dict(
                    k3='original',
                    k1=dict(type='torch.nn.Conv2d', kernel_size=1, **conv),
                    k3g4=dict(
                        type='torch.nn.Conv2d',
                        kernel_size=3,
                        padding='{padding}',
                        dilation='{dilation}',
                        groups=4,
                        **conv),
                    k3d1=dict(
                        type='torch.nn.Conv2d', kernel_size=3, padding=1, **conv)))
        }))
train_dataloader = dict(dataset=dict(indices=800))
