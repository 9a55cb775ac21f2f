"""Files as bytes: none so large that it exhausts memory, none written over another by accident."""

from pathlib import Path

from ..errors import InputError, OutputExistsError
from ..learning.atomic_file import write_whole
from .refusal import refusal

__all__ = ["document_bytes", "read_bytes", "write_bytes"]


def read_bytes(path: str | Path, kind: str, limit: int) -> bytes:
    """Contents of a file.

    Parameters
    ----------
    path : str or Path
    kind : str
        Parameter that brought the file, for messages.
    limit : int
        Most bytes it may have.

    Raises
    ------
    InputError
        If it is not a file, cannot be read, or is larger than the limit.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{kind}: there is no file at {path}; give the path of an existing file")
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise InputError(
            f"{kind}: {path} cannot be read ({error.strerror}); check its permissions"
        ) from error
    return document_bytes(data, kind, str(path), limit)


def document_bytes(data: bytes | str, kind: str, name: str, limit: int) -> bytes:
    """Bytes of a document that may have been given as text.

    Raises
    ------
    InputError
        If it is larger than the limit, or text that cannot be encoded.
    """
    if isinstance(data, str):
        try:
            data = data.encode("utf-8")
        except UnicodeEncodeError as error:
            raise refusal(kind, name, None, "a character is half of a surrogate pair", "remove it") from error
    if len(data) > limit:
        raise refusal(
            kind, name, None, f"more than {limit} bytes", "such a file is smaller; check what it is"
        )
    return data


def write_bytes(data: bytes, path: str | Path, overwrite: bool = False) -> Path:
    """Write a document; the file is there whole or not at all.

    Parameters
    ----------
    data : bytes
        From `to_bytes` of the document.
    path : str or Path
    overwrite : bool, optional
        Whether a file that is already there is replaced.

    Returns
    -------
    Path

    Raises
    ------
    OutputExistsError
        If the file is there and `overwrite` is not given.
    """
    path = Path(path)
    if not overwrite and path.exists():
        raise OutputExistsError(f"overwrite: {path} exists already; give another name or overwrite=True")
    write_whole(path, data)
    return path
