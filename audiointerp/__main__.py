"""`python -m audiointerp`: starts the command line with a heap that keeps what it freed."""

from __future__ import annotations

import os
import platform
import sys
import warnings

# glibc gives every large block back to the system when it is freed and faults it in again at the next batch;
# a retained heap runs a network's forward pass 1.5 to 2.5 times as fast. glibc reads these only at process start.
RETAINED_HEAP = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
    "MALLOC_TOP_PAD_": str(2**28),
}


def heap_settings(environment: dict[str, str], system: str, libc: str) -> dict[str, str] | None:
    """Decides whether the process is to be started once more, and with which environment.

    Args:
        environment: The environment variables now.
        system: `platform.system()`.
        libc: `platform.libc_ver()[0]`.
    Returns:
        The new environment; None where it is set already, not wanted, or of no use.
    Example:
        >>> heap_settings({"AUDIOINTERP_NO_REEXEC": "1"}, "Linux", "glibc") is None
        True
    """
    if environment.get("AUDIOINTERP_NO_REEXEC") == "1" or system != "Linux" or libc != "glibc":
        return None
    if any(name in environment for name in RETAINED_HEAP):
        return None
    return {**environment, **RETAINED_HEAP}


def told(message: Warning | str, category: type[Warning], *place: object) -> str:
    """Says a warning in one line, without the line of code that gave it.

    Example:
        >>> told("3 of 24 clips cannot be used", UserWarning, "base.py", 290)
        'warning: 3 of 24 clips cannot be used\\n'
    """
    return f"warning: {message}\n"


def main() -> None:
    """Runs the command line; a job first starts the same command again with a retained heap."""
    arguments = sys.argv[1:]
    wants_help = not arguments or {"-h", "--help"} & set(arguments)
    if not wants_help and sys.orig_argv:
        environment = heap_settings(dict(os.environ), platform.system(), platform.libc_ver()[0])
        if environment is not None:
            sys.stdout.flush()
            os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)
    warnings.formatwarning = told
    from audiointerp.cli import main as run

    sys.exit(run(arguments))


if __name__ == "__main__":
    main()
