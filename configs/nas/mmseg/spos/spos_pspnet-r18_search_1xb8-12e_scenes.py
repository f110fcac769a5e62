# Single Path One-Shot (Guo et al., 2020, arXiv:1904.00420) for a segmentor: evolution with
# the budget on the backbone alone, scored on 200 scenes that the supernet was not trained
# on.
# python tools/train.py configs/nas/mmseg/spos/spos_pspnet-r18_supernet_1xb8-12e_scenes.py
# python tools/search.py configs/nas/mmseg/spos/spos_pspnet-r18_search_1xb8-12e_scenes.py work_dirs/spos_pspnet-r18_supernet_1xb8-12e_scenes/epoch_12.pth
# Expected: a Subnet file; README.md says what is measured.
_base_ = './spos_pspnet-r18_supernet_1xb8-12e_scenes.py'
val_dataloader = dict(
    dataset=dict(
        data_prefix=dict(img_path='images/train', seg_map_path='masks/train'),
        indices=-200))
search = dict(
    searcher=dict(
        type='EvolutionSearcher',
        population=20,
        generations=5,
        top_k=5,
        mutation=10,
        crossover=10,
        mutation_prob=0.2),
    budget=dict(macs=(0, 38e6)),
    prefix='backbone',
    metric='mIoU',
    calibrate_bn=200)
