"""Run a script in this process as ``python script args`` would."""

import json
import os
import runpy
import sys

from killing import Events


def run_script(command, folder, env, log):
    """Replace this process's arguments, folder, environment and output."""
    os.environ.update(env)
    os.chdir(folder)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    events = Events(env["KILL"], env.get("BY", "SIGKILL")) if "KILL" in env else None
    sys.argv = command
    sys.path.insert(0, os.path.dirname(command[0]))
    try:
        runpy.run_path(command[0], run_name="__main__")
    except SystemExit as end:  # so a tool leaves, with 0 when it is done
        if end.code:
            raise
    if events is not None:
        sys.stdout.write(f"events: {json.dumps(events.counts)}\n")
        sys.stdout.flush()
