"""How the runner talks to its workers: one JSON object per line, each way. Standard library only.

A worker lives in an environment of its own, holds its set-up between requests, and answers one request at a
time, so that the runner can let two workers take turns and the load of the machine falls on both alike.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
ONE_THREAD = dict.fromkeys([f"{name}_NUM_THREADS" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")], "1")


class Worker:
    """A worker process, seen from the runner."""

    def __init__(self, python, script):
        self.process = subprocess.Popen(
            [python, str(HERE / script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **ONE_THREAD},
        )

    def ask(self, task, **options):
        """Send a request and wait for its answer."""
        self.process.stdin.write(json.dumps({"task": task, **options}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker ended during {task!r} with status {self.process.wait()}")
        return json.loads(line)

    def close(self):
        """Let the worker end."""
        self.process.stdin.close()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def serve(tasks):
    """Answer requests on standard input until it closes; whatever the tasks print goes to standard error."""
    replies, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        request = json.loads(line)
        answer = tasks[request.pop("task")](**request)
        replies.write(json.dumps(answer) + "\n")
        replies.flush()


def cpu_per_call(function, at_least=0.1):
    """CPU seconds of this process per call of `function`, over as many calls as take `at_least` seconds."""
    n = 1
    while True:
        start = time.process_time()
        for _ in range(n):
            function()
        elapsed = time.process_time() - start
        if elapsed >= at_least:
            return elapsed / n
        n = max(2 * n, int(1.2 * n * at_least / elapsed) if elapsed > 0 else 2 * n)
