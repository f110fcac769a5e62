# The quickstart's teacher: the student's network, 2.5 times as wide (six times the
# MACs), trained in the same way.
# python tools/train.py configs/quickstart/teacher.py
_base_ = ["./student.py"]

model = dict(
    backbone=dict(stem_channels=20, base_channels=20), head=dict(in_channels=80)
)
