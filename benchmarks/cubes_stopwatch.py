"""CPU time of chosen functions of a program that knows nothing of it."""

import time
from contextlib import contextmanager


class Stopwatch:
    """CPU time of the calling thread in chosen functions, which are replaced by timed ones."""

    def __init__(self):
        self.seconds = {}

    @contextmanager
    def watching(self, *places):
        """Time ``(owner, attribute, name)`` until the end of the block."""
        kept = [(owner, attribute, vars(owner)[attribute]) for owner, attribute, _ in places]
        for owner, attribute, name in places:
            setattr(owner, attribute, self._timed(getattr(owner, attribute), name))
        try:
            yield self
        finally:
            for owner, attribute, original in kept:
                setattr(owner, attribute, original)

    def _timed(self, function, name):
        self.seconds.setdefault(name, 0.0)

        def timed(*args, **options):
            start = time.thread_time()
            try:
                return function(*args, **options)
            finally:
                self.seconds[name] += time.thread_time() - start

        return timed
