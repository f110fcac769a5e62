# The dense network of the pruning beside it: the student of CWD without a teacher, a
# PSPNet with a ResNet-18 of an eighth of the usual width, from random weights, on a CPU.
# python tools/train.py configs/pruning/mmseg/l1/l1_pspnet-r18_dense_1xb8-12e_scenes.py
# Expected: the row of the dense network in README.md.
_base_ = '../../../distill/mmseg/cwd/cwd_pspnet-r18_student_1xb8-12e_scenes.py'
