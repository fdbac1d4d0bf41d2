"""Fresh interpreters for tests of what happens at import, in forks and at exit."""

import os
import signal
import subprocess
import sys
import textwrap


def python(code: str, timeout: float = 120, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a fresh interpreter; its environment has no setting of fastloss or OpenMP but these."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("FASTLOSS_", "OMP_", "GOMP_"))}
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=clean | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        if hasattr(os, "killpg"):  # its children hang with it
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.communicate()
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)
