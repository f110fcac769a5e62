# MNIST: 60000 digits to train and 10000 to test, 28x28 grey.
# python tools/prepare_data.py mnist
#
# Grey images: the architecture takes one channel (backbone=dict(in_channels=1)).
# The host selects the files by test_mode, not by split; both are given.
dataset_type = 'MNIST'
data_root = 'data/mnist'
data_preprocessor = dict(
    type='ClsDataPreprocessor', num_classes=10, mean=[33.318], std=[78.567])

train_pipeline = [
    dict(type='RandomCrop', crop_size=28, padding=2),
    dict(type='PackInputs'),
]
test_pipeline = [dict(type='PackInputs')]

train_dataloader = dict(
    batch_size=128,
    num_workers=2,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        split='train',
        download=False,
        pipeline=train_pipeline))

val_dataloader = dict(
    batch_size=500,
    num_workers=2,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        split='test',
        test_mode=True,
        download=False,
        pipeline=test_pipeline))
val_evaluator = dict(type='Accuracy', topk=(1, ))

test_dataloader = val_dataloader
test_evaluator = val_evaluator
