"""Imported once, before the processes of the coverage benchmark are forked."""

import coverage_worker  # noqa: F401

from mmrazor import compat

for host in compat.HOSTS:
    compat.import_host(host)
