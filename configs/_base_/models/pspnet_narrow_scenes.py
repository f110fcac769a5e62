# PSPNet with a ResNet-18 of an eighth of the usual width, for small scenes; it starts
# from random weights. Eleven classes: background and ten kinds of objects.
norm_cfg = dict(type='BN', requires_grad=True)
model = dict(
    type='EncoderDecoder',
    backbone=dict(
        type='ResNetV1c',
        depth=18,
        stem_channels=8,
        base_channels=8,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        dilations=(1, 1, 2, 4),
        strides=(1, 2, 1, 1),
        norm_cfg=norm_cfg,
        norm_eval=False,
        style='pytorch',
        contract_dilation=True,
        init_cfg=None),
    decode_head=dict(
        type='PSPHead',
        in_channels=64,
        in_index=3,
        channels=32,
        pool_scales=(1, 2, 3, 6),
        dropout_ratio=0.1,
        num_classes=11,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(
            type='CrossEntropyLoss',
            use_sigmoid=False,
            loss_weight=1.0,
            # Nine pixels of ten are background; with equal weights a short run
            # learns nothing else.
            class_weight=[0.2] + [1.0] * 10)),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'))
