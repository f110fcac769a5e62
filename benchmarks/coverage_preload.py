"""Imported once, before the processes of the coverage benchmark are forked."""

import coverage_worker  # noqa: F401

from mmrazor import compat

if compat.is_importable("timm"):
    import timm  # noqa: F401

for host in compat.HOSTS:
    compat.import_host(host)
