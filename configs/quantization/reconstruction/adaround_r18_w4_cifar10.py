# AdaRound (Nagel et al., 2020, arXiv:2004.10568): a narrow ResNet-18 on CIFAR-10 with
# weights in 4 bits and activations in 8; 1000 steps a layer.
# Train the float network first.
# python tools/train.py configs/distill/mmcls/kd/kd_r18_student_1xb128-30e_cifar10.py
# python tools/quantize.py configs/quantization/reconstruction/adaround_r18_w4_cifar10.py
# Expected: more than with --method ptq; see README.md.
_base_ = '../ptq/ptq_r18_cifar10.py'
model = dict(
    quantizer=dict(weight=dict(bits=4, observer=dict(type='MSEObserver'))))
quantize = dict(methods=[dict(type='AdaRound', iterations=1000)])
