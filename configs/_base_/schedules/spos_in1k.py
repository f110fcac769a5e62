# The schedule of Single Path One-Shot (arXiv:1904.00420), section 4: batch 1024, SGD, a
# learning rate that falls linearly from 0.5 to 0; max_iters is set where it is used.
optim_wrapper = dict(
    optimizer=dict(type='SGD', lr=0.5, momentum=0.9, weight_decay=4e-5),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0))
param_scheduler = dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=False, begin=0)
train_cfg = dict(by_epoch=False, max_iters=150000, val_interval=10000)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=1024)
