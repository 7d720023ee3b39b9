"""What a tracer does to the system calls of a process: strace(1) and its tampering."""

import contextlib
import subprocess
import tempfile
import time
from pathlib import Path


@contextlib.contextmanager
def tampering(process, calls, what):
    """Lets `what` happen, in strace's words, at these calls of all threads of a process. Yields a file that names them."""
    with tempfile.TemporaryDirectory(prefix="squall-test.") as directory:
        trace = Path(directory) / "trace"
        trace.touch()
        tracer = subprocess.Popen(
            ["strace", "-f", "-p", str(process), "-o", trace, "-e", f"trace={calls}", "-e", f"inject={calls}:{what}"],
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert "attached" in tracer.stderr.readline()
            yield trace
        finally:
            if tracer.poll() is None:
                tracer.terminate()
            tracer.communicate()


def wait_for(word, trace, timeout=30):
    deadline = time.monotonic() + timeout
    while word not in trace.read_text():
        assert time.monotonic() < deadline, f"no {word} in {trace.read_text()!r}"
        time.sleep(0.1)
