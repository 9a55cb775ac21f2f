"""Other codes, run by their own interpreters in processes of their own: a request in, arrays out."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, SpectunerError

__all__ = ["WORKERS", "Answer", "OtherCodeError", "ask", "interpreter"]

WORKERS = {
    name: Path(__file__).parent / "programs" / f"{name}_program.py"
    for name in ("xclass", "spectuner", "pyspeckit")
}
"""Code to the program that its interpreter runs."""

_NOT_THERE = 3
"""Exit code of a program whose package cannot be imported."""


class OtherCodeError(SpectunerError):
    """Another code did not give an answer; nothing is known of what it would have given."""


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What another code has given.

    Parameters
    ----------
    code, version, file : str
        Name, version and place of the package, as it says itself.
    words : str
        First line of the package's own description.
    arrays : mapping
        Spectra by name.
    facts : mapping
        Anything else, JSON-like.
    """

    code: str
    version: str
    file: str
    words: str
    arrays: Mapping[str, NDArray[np.float64]]
    facts: Mapping[str, Any]

    @property
    def origin(self) -> str:
        """Where the numbers come from, in words."""
        described = f" ({self.words})" if self.words else ""
        return f"run now: package {self.code} {self.version}{described}, {self.file}"


def interpreter(given: str, parameter: str) -> str:
    """Path of an interpreter.

    Raises
    ------
    InputError
        If there is none.
    """
    found = shutil.which(os.path.expanduser(given))
    if found is None:
        raise InputError(
            f"{parameter}: {given!r} cannot be run; give the path of a python in the code's environment"
        )
    return found


def ask(
    code: str,
    python: str,
    request: Mapping[str, Any],
    arrays: Mapping[str, NDArray[np.float64]],
    timeout: float,
) -> Answer | None:
    """Let another code compute; None if its package is not there.

    Parameters
    ----------
    code : str
        Key of `WORKERS`.
    python : str
        Interpreter of its environment.
    request : mapping
        JSON-like.
    arrays : mapping
    timeout : float, in s

    Raises
    ------
    OtherCodeError
        If the program fails, takes too long, or gives something else than finite numbers.
    """
    with tempfile.TemporaryDirectory(prefix="spectuner-") as name:
        folder = Path(name)
        (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
        np.savez(folder / "request.npz", **arrays)  # type: ignore[arg-type]
        # a copy, as the folder of a program comes first on its path, and this one should hold nothing else
        program = shutil.copyfile(WORKERS[code], folder / "program_of_spectuner_ext.py")
        command = [python, str(program), str(folder)]
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired as error:
            raise OtherCodeError(f"{code}: no answer after {timeout:g} s; give a longer timeout") from error
        if done.returncode == _NOT_THERE:
            return None
        if done.returncode:
            last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
            raise OtherCodeError(f"{code}: the program ended with code {done.returncode}: {last}")
        try:
            facts = json.loads((folder / "answer.json").read_text(encoding="utf-8"))
            with np.load(folder / "answer.npz") as stored:
                found = {key: np.asarray(stored[key], dtype=np.float64) for key in stored.files}
        except (OSError, ValueError) as error:
            raise OtherCodeError(f"{code}: its answer cannot be read: {error}") from error
    for key, array in found.items():
        if not np.all(np.isfinite(array)):
            raise OtherCodeError(f"{code}: {key} holds numbers that are not finite")
    package = facts.pop("package", {})
    return Answer(
        code,
        str(package.get("version", "of unknown version")),
        str(package.get("file", "")),
        str(package.get("words", "")),
        found,
        facts,
    )
