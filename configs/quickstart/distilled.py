# The student again, distilled: KD (Hinton et al., 2015, arXiv:1503.02531) adds to its
# own loss the divergence from the teacher's softened predictions.
# After `make quickstart`, which trains the teacher:
# python tools/train.py configs/quickstart/distilled.py
_base_ = ["./student.py"]

model = dict(
    _delete_=True,
    type="mmrazor.SingleTeacherDistill",
    architecture=dict(cfg_path="mmrazor::quickstart/student.py"),
    teacher=dict(
        cfg_path="mmrazor::quickstart/teacher.py",
        checkpoint="work_dirs/quickstart/teacher/epoch_8.pth",
    ),
    distiller=dict(
        losses=dict(
            kd=dict(
                type="KLDivergence",
                tau=4.0,
                loss_weight=1.0,
                student="output:head.fc",
                teacher="output:head.fc",
            )
        )
    ),
)

# Reports the teacher's accuracy beside the student's.
val_cfg = dict(_delete_=True, type="mmrazor.DistillValLoop")
