# GPTQ (Frantar et al., 2023, arXiv:2210.17323): MobileNetV2 on ImageNet, weights in 4 bits,
# activations in float, from the weights that mmpretrain publishes.
# python tools/quantize.py configs/quantization/gptq/gptq_mbv2_w4_in1k.py
# Expected: more than with --method ptq; in float 71.86; not measured here.
_base_ = './gptq_r18_w4_in1k.py'
model = dict(
    architecture=dict(cfg_path='mmpretrain::mobilenet_v2/mobilenet-v2_8xb32_in1k.py'))
