"""Whether anybody writes a file, as the kernel knows it."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import signal

_FOR_A_LOOK = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC  # an open that cannot hang
_WARNING = int(signal.SIGURG)

# Unlike `fcntl.fcntl` it keeps the interpreter lock. What is asked here never waits, and to win the lock back from a
# busy loop takes about as long as the call.
_control = ctypes.PyDLL(None, use_errno=True).fcntl


def has_leases() -> bool:
    """Return whether this system has leases."""
    return hasattr(fcntl, "F_SETLEASE")


def look(path: bytes, leases: bool) -> tuple[bool | None, os.stat_result]:
    """Return whether a process has the file open for writing, None if that cannot be known, and the file's status.

    The kernel grants a read lease exactly when no process does. A writer that comes while we hold it waits for us,
    and we are sent a signal: one that is ignored by default, since that of `fcntl(2)`, SIGIO, ends the process.
    """
    descriptor = os.open(path, _FOR_A_LOOK)
    try:
        if not leases:
            return None, os.fstat(descriptor)
        if _control(descriptor, fcntl.F_SETSIG, _WARNING) or _control(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK):
            # any other error: the file is another user's, or its file system has no leases
            return True if ctypes.get_errno() == errno.EAGAIN else None, os.fstat(descriptor)
        status = os.fstat(descriptor)  # now, while nobody can write
        # Not left to the closing: a process that was forked meanwhile holds the file open, and the lease with it.
        _control(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return False, status
    finally:
        os.close(descriptor)


__all__ = ["has_leases", "look"]
