# GPTQ (Frantar et al., 2023, arXiv:2210.17323): ResNet-50 on ImageNet, weights in 4 bits,
# activations in float, from the weights that mmpretrain publishes.
# python tools/quantize.py configs/quantization/gptq/gptq_r50_w4_in1k.py
# Expected: more than with --method ptq; in float 76.55; not measured here.
_base_ = './gptq_r18_w4_in1k.py'
model = dict(
    architecture=dict(cfg_path='mmpretrain::resnet/resnet50_8xb32_in1k.py'))
