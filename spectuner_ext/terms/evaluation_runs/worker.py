"""A process for one run: a job as JSON comes in by standard input, the result goes out by standard output.

``python -m spectuner_ext.terms.evaluation_runs.worker``. A new interpreter for each run, so that its peak of memory
is its own, that it can be ended at any moment, and that its end, of lack of memory perhaps, ends nothing else.
"""

import json
import os
import sys
import threading
from typing import Any

__all__ = ["ANSWER", "main"]

ANSWER = "result of the run: "
"""What the line with the result begins with."""


def main() -> None:
    """Read a job, run it, write its result or error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no answer
    job = json.loads(sys.stdin.readline())
    threading.Thread(target=_follow_parent, daemon=True).start()
    answers.write(ANSWER + json.dumps(_answer(job), allow_nan=False) + "\n")
    answers.flush()


def _answer(job: dict[str, Any]) -> dict[str, Any]:
    try:
        from .one_run import Job, carry_out

        return carry_out(Job(**job))
    except Exception as error:  # one bad run must not end a comparison of hundreds, nor vanish from it
        import traceback

        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}"}


def _follow_parent() -> None:
    """End with the process that started this one: it holds the other end of the input."""
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
