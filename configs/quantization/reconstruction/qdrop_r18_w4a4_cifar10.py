# QDrop (Wei et al., 2022, arXiv:2203.05740): a narrow ResNet-18 on CIFAR-10, weights and
# activations in 4 bits, the first and the last layer in 8; 1000 steps a block.
# Train the float network first.
# python tools/train.py configs/distill/mmcls/kd/kd_r18_student_1xb128-30e_cifar10.py
# python tools/quantize.py configs/quantization/reconstruction/qdrop_r18_w4a4_cifar10.py
# Expected: more than with --method ptq; see README.md.
_base_ = '../ptq/ptq_r18_cifar10.py'
model = dict(
    quantizer=dict(
        backend='generic',
        weight=dict(bits=4, observer=dict(type='MSEObserver')),
        activation=dict(
            _delete_=True, bits=4, observer=dict(type='MSEObserver')),
        edges=dict(weight=dict(bits=8), activation=dict(bits=8))))
quantize = dict(
    methods=[
        dict(type='BlockReconstruction', drop_prob=0.5, iterations=1000)
    ])
