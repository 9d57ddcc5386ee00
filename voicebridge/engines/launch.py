"""Becomes a worker: run as a file, sets up the process and turns into the program named by the arguments.

`python -I -S launch.py PARENT_PID NICE PROGRAM ARGUMENT...`. It exists because a `preexec_fn` runs Python
between fork and exec in a process that has threads, and because any program can be supervised this way,
not only ours. It imports nothing of ours so that it starts quickly.

Linux keeps the parent-death signal over execve (prctl(2), PR_SET_PDEATHSIG) unless the program is
set-user-id.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
EXIT_NOT_STARTED = 127


def main(arguments: list[str]) -> int:
    parent, nice, program = int(arguments[0]), int(arguments[1]), arguments[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we could ask to be told
        return EXIT_NOT_STARTED
    try:
        os.nice(nice)
        os.execvp(program[0], program)
    except OSError as error:
        print(f"ERROR cannot run {program[0]}: {error.strerror}", file=sys.stderr)
    return EXIT_NOT_STARTED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
