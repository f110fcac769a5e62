# Single Path One-Shot (Guo et al., 2020, arXiv:1904.00420) on Fashion-MNIST: the Subnet
# that the search found, from random weights.
# python tools/train.py configs/nas/mmcls/spos/spos_r18_supernet_1xb128-20e_fashion_mnist.py
# python tools/search.py configs/nas/mmcls/spos/spos_r18_search_1xb128-20e_fashion_mnist.py work_dirs/spos_r18_supernet_1xb128-20e_fashion_mnist/epoch_20.pth
# python tools/train.py configs/nas/mmcls/spos/spos_r18_retrain_1xb128-20e_fashion_mnist.py
# Expected: the top-1 accuracy of the Subnet; README.md says what is measured.
_base_ = './spos_r18_supernet_1xb128-20e_fashion_mnist.py'
model = dict(
    _delete_=True,
    type='mmrazor.SubnetModel',
    architecture=_base_.model.architecture,
    mutator=_base_.model.mutator,
    subnet='work_dirs/spos_r18_search_1xb128-20e_fashion_mnist/subnet.yaml')
