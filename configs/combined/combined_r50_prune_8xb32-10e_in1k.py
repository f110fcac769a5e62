# Stage 1 of the pipeline on ImageNet: ResNet-50, with the weights that mmpretrain
# publishes, is pruned by L1 norms (Li et al., 2017, arXiv:1608.08710) to half its MACs,
# in eight steps. It leaves subnet.yaml and pruned.pth to stage 2.
# bash tools/dist_train.sh configs/combined/combined_r50_prune_8xb32-10e_in1k.py 8
# Expected: not published for these settings and not measured here.
_base_ = '../pruning/mmcls/l1/l1_r50_finetune_8xb32-60e_in1k.py'
model = dict(pruner=dict(schedule=dict(end=8)))
param_scheduler = dict(T_max=10)
train_cfg = dict(max_epochs=10)
