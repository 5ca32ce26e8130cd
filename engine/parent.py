"""A child's end with its parent: it ends soon after the process that started it, even one that was killed.

Knows process ids and signals. Knows nothing of what the process does. It asks again and again who its parent is,
because Linux's own signal for this comes when the parent's thread ends, not the parent, and not at all to a child
that asked too late.
"""

import os
import signal
import threading
import time

_POLL_SECONDS = 0.5


def end_with_parent(pid: int, *, grace_seconds: float = 0.0) -> None:
    """From now on, end this process when its parent, process `pid`, is no more, or is not its parent at all.

    It gets SIGTERM, and `grace_seconds` later it ends whatever it does.
    """
    threading.Thread(target=_watch, args=(pid, grace_seconds), name="parent-watch", daemon=True).start()


def _watch(pid: int, grace_seconds: float) -> None:
    while os.getppid() == pid:
        time.sleep(_POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace_seconds)
    os._exit(1)
