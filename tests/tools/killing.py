"""Kill this process at a chosen event, as a machine that fails would."""

import os
import signal

import torch

#: What counts as an event, by kind: what puts files into their places, what computes.
EVENTS = {
    "write": [(os, name) for name in ("link", "mkdir", "replace", "fsync")],
    "step": [(torch.nn.functional, "conv2d")],
}


class Events:
    """Counts the events of each kind; at one of them the process dies.

    Args:
        kill: ``write:5`` dies before the fifth write; ``""`` only counts.
        by: Name of the signal.
    """

    def __init__(self, kill="", by="SIGKILL"):
        self.kind, _, at = kill.partition(":")
        self.at = int(at or 0)
        self.signal = getattr(signal, by)
        self.owner = os.getpid()
        self.counts = dict.fromkeys(EVENTS, 0)
        for kind, calls in EVENTS.items():
            for place, name in calls:
                setattr(place, name, self._around(kind, getattr(place, name)))

    def _around(self, kind, call):
        def counted(*args, **kwargs):
            if os.getpid() == self.owner:
                self.counts[kind] += 1
                if kind == self.kind and self.counts[kind] == self.at:
                    os.kill(self.owner, self.signal)
            return call(*args, **kwargs)

        return counted
