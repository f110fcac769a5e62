# The quickstart's student: a narrow ResNet on the first 10000 images of Fashion-MNIST,
# trained without a teacher.
# python tools/train.py configs/quickstart/student.py
_base_ = ["../_base_/datasets/fashion_mnist.py"]

default_scope = "mmpretrain"
model = dict(
    type="ImageClassifier",
    backbone=dict(
        type="ResNet_CIFAR",
        depth=18,
        in_channels=1,
        stem_channels=8,
        base_channels=8,
        num_stages=3,
        strides=(2, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(2,),
    ),
    neck=dict(type="GlobalAveragePooling"),
    head=dict(
        type="LinearClsHead",
        num_classes=10,
        in_channels=32,
        loss=dict(type="CrossEntropyLoss"),
    ),
)

# On two cores, worker processes cost more than they bring.
train_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(indices=10000)
)
val_dataloader = dict(num_workers=0, persistent_workers=False)
test_dataloader = val_dataloader

train_cfg = dict(by_epoch=True, max_epochs=8, val_interval=1)
val_cfg = dict()
test_cfg = dict()
optim_wrapper = dict(
    optimizer=dict(type="SGD", lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
)
param_scheduler = dict(
    type="CosineAnnealingLR", T_max=8, by_epoch=True, convert_to_iter_based=True
)

default_hooks = dict(
    logger=dict(type="LoggerHook", interval=20),
    checkpoint=dict(type="CheckpointHook", interval=1, max_keep_ckpts=1),
)
randomness = dict(seed=0, deterministic=True)
