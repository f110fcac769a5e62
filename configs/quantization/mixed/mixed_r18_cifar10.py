# Mixed precision (ZeroQ: Cai et al., 2020, arXiv:2001.00281): a narrow ResNet-18 on
# CIFAR-10, weights in 8 to 2 bits, layer by layer, in half of the size in 8 bits.
# Train the float network first.
# python tools/train.py configs/distill/mmcls/kd/kd_r18_student_1xb128-30e_cifar10.py
# python tools/quantize.py configs/quantization/mixed/mixed_r18_cifar10.py
# Expected: nearly the top-1 accuracy of the float network, where 4 bits alone lose points;
# see README.md.
_base_ = '../ptq/ptq_r18_cifar10.py'
model = dict(quantizer=dict(backend='generic', weight=dict(bits=[8, 6, 4, 3, 2])))
quantize = dict(
    methods=[
        dict(type='MixedPrecision', budget=dict(size_bytes=0.5), max_batches=2),
    ])
