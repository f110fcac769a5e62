# The quickstart's teacher: the student's network, twice as wide (four times the MACs),
# trained in the same way.
# python tools/train.py configs/quickstart/teacher.py
_base_ = ["./student.py"]

model = dict(
    backbone=dict(stem_channels=16, base_channels=16), head=dict(in_channels=64)
)
