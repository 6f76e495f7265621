"""Processes that must not outlive the one that started them."""

import ctypes
import signal
import sys

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>

# Looked up at import: between fork and exec, another thread's lock could be held for ever.
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def end_with_parent(how: signal.Signals) -> None:
    """Have the kernel send this process the signal `how` when its parent dies, even of SIGKILL. Linux only.

    The parent is the thread that started this process (prctl(2)).
    """
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, how)
