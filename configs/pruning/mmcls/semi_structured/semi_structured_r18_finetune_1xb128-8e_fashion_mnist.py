# Accelerating Sparse Deep Neural Networks (Mishra et al., 2021, arXiv:2104.08378):
# two of every four weights of the quickstart's teacher, on 10000 images of
# Fashion-MNIST: minutes on two cores.
# Train the dense network first; its training is repeated with the zeros fixed.
# python tools/train.py configs/quickstart/teacher.py
# python tools/train.py configs/pruning/mmcls/semi_structured/semi_structured_r18_finetune_1xb128-8e_fashion_mnist.py
# Expected: about the top-1 accuracy of the dense network; see README.md.
_base_ = '../../../quickstart/teacher.py'
model = dict(
    _delete_=True,
    type='mmrazor.Compress',
    architecture=dict(
        cfg_path='mmrazor::quickstart/teacher.py',
        checkpoint='work_dirs/teacher/epoch_8.pth'),
    pruner=dict(type='mmrazor.SemiStructuredPruner', n=2, m=4))
custom_hooks = [dict(type='mmrazor.KeepSparsityHook')]
