"""Settings of the property tests."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# The same examples on every run, and no failure because a machine is busy.
settings.register_profile(
    "steady",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("steady")
