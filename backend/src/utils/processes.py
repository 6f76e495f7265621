"""This process and its relatives: the one that started it, and the others that were started with it."""

import ctypes
import multiprocessing
import os
import signal
import sys

import psutil

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>

# Looked up here, and not between fork and exec, where another thread's lock could be held for ever.
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def end_with_parent(how: signal.Signals) -> None:
    """Have this process sent the signal `how` when its parent dies, however it dies. Linux only.

    The parent is the thread that started this process (prctl(2)).
    """
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, how)


def fellow_workers() -> list[int]:
    """Return the ids of the other processes that the parent of this one has spawned, as uvicorn does its workers.

    A process that uvicorn spawns to reload it has no fellows: the one before it has ended.
    """
    parent = multiprocessing.parent_process()
    if parent is None or parent.pid is None:
        return []
    try:
        siblings = psutil.Process(parent.pid).children()
    except psutil.Error:
        return []
    return [each.pid for each in siblings if each.pid != os.getpid() and _is_spawned(each)]


def _is_spawned(process: psutil.Process) -> bool:
    try:
        # What multiprocessing puts on the command line of each process that it spawns.
        return "--multiprocessing-fork" in process.cmdline()
    except psutil.ZombieProcess:
        # It has just ended, and its parent has yet to notice.
        return True
    except psutil.Error:
        return False
