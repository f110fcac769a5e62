# DetNAS (Chen et al., 2019, arXiv:1903.10979) on the composed scenes: the detector with
# the backbone that the search found, from random weights.
# python tools/train.py configs/nas/mmdet/detnas/detnas_gfl-shufflenetv2_supernet_1xb8-12e_scenes.py
# python tools/search.py configs/nas/mmdet/detnas/detnas_gfl-shufflenetv2_search_1xb8-12e_scenes.py work_dirs/detnas_gfl-shufflenetv2_supernet_1xb8-12e_scenes/epoch_12.pth
# python tools/train.py configs/nas/mmdet/detnas/detnas_gfl-shufflenetv2_retrain_1xb8-12e_scenes.py
# Expected: the mAP of the Subnet; README.md says what is measured.
_base_ = './detnas_gfl-shufflenetv2_supernet_1xb8-12e_scenes.py'
model = dict(
    _delete_=True,
    type='mmrazor.SubnetModel',
    architecture=_base_.model.architecture,
    mutator=dict(type='NasMutator'),
    subnet='work_dirs/detnas_gfl-shufflenetv2_search_1xb8-12e_scenes/subnet.yaml')
train_dataloader = dict(dataset=dict(indices=None))
