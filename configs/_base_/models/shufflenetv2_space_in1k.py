# The ShuffleNetV2 space of Single Path One-Shot (arXiv:1904.00420), section 4: 20 blocks
# with four candidates each, as an ImageNet classifier with label smoothing 0.1.
model = dict(
    architecture=dict(
        type='mmpretrain.ImageClassifier',
        backbone=dict(type='mmrazor.SearchableShuffleNetV2'),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(
            type='LinearClsHead',
            num_classes=1000,
            in_channels=1024,
            loss=dict(
                type='LabelSmoothLoss',
                mode='original',
                label_smooth_val=0.1,
                num_classes=1000),
            topk=(1, 5))))
