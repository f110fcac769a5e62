# Single Path One-Shot (Guo et al., 2020, arXiv:1904.00420) for a segmentor: the Subnet that
# the search found, from random weights.
# python tools/train.py configs/nas/mmseg/spos/spos_pspnet-r18_supernet_1xb8-12e_scenes.py
# python tools/search.py configs/nas/mmseg/spos/spos_pspnet-r18_search_1xb8-12e_scenes.py work_dirs/spos_pspnet-r18_supernet_1xb8-12e_scenes/epoch_12.pth
# python tools/train.py configs/nas/mmseg/spos/spos_pspnet-r18_retrain_1xb8-12e_scenes.py
# Expected: the mIoU of the Subnet; README.md says what is measured.
_base_ = './spos_pspnet-r18_supernet_1xb8-12e_scenes.py'
model = dict(
    _delete_=True,
    type='mmrazor.SubnetModel',
    architecture=_base_.model.architecture,
    mutator=_base_.model.mutator,
    subnet='work_dirs/spos_pspnet-r18_search_1xb8-12e_scenes/subnet.yaml')
train_dataloader = dict(dataset=dict(indices=None))
