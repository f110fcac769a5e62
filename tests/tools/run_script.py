"""Run a script in this process as ``python script args`` would."""

import os
import runpy
import sys


def run_script(command, folder, env, log):
    """Replace this process's arguments, folder, environment and output."""
    os.environ.update(env)
    os.chdir(folder)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.argv = command
    sys.path.insert(0, os.path.dirname(command[0]))
    runpy.run_path(command[0], run_name="__main__")
