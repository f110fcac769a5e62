# DetNAS (Chen et al., 2019, arXiv:1903.10979) on the composed scenes: evolution with the
# budget on the backbone alone, scored on 200 scenes that the supernet was not trained on.
# python tools/train.py configs/nas/mmdet/detnas/detnas_gfl-shufflenetv2_supernet_1xb8-12e_scenes.py
# python tools/search.py configs/nas/mmdet/detnas/detnas_gfl-shufflenetv2_search_1xb8-12e_scenes.py work_dirs/detnas_gfl-shufflenetv2_supernet_1xb8-12e_scenes/epoch_12.pth
# Expected: a Subnet file; README.md says what is measured.
_base_ = './detnas_gfl-shufflenetv2_supernet_1xb8-12e_scenes.py'
# Boxes come with the images: the metric would count those of all training scenes.
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=_base_.image_scale, keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor',
                   'instances')),
]
val_dataloader = dict(
    dataset=dict(
        ann_file='annotations/train.json',
        data_prefix=dict(img='images/train/'),
        indices=-200,
        pipeline=test_pipeline))
val_evaluator = dict(ann_file=None)
search = dict(
    searcher=dict(
        type='EvolutionSearcher',
        population=20,
        generations=5,
        top_k=5,
        mutation=10,
        crossover=10,
        mutation_prob=0.2),
    budget=dict(macs=(0, 3.2e6)),
    prefix='backbone',
    metric='coco/bbox_mAP',
    calibrate_bn=200)
