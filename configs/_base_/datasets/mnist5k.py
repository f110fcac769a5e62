# MNIST-5k: 4000 digits to train and 1000 to test, 28x28 grey; else like MNIST.
# python tools/prepare_data.py mnist5k
_base_ = './mnist.py'
data_root = 'data/mnist5k'

train_dataloader = dict(
    batch_size=64,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(data_root=data_root))
val_dataloader = dict(
    batch_size=250,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
