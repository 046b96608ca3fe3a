"""Arrays and one JSON text in an ``.npz``; never a pickle. Artifacts and checkpoints are such files."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from model.files.whole import replacing


def write(
    path,
    member: str,
    text: dict,
    arrays: Mapping[str, np.ndarray],
    again: Callable[[Path], tuple[dict, Mapping[str, np.ndarray]]],
    *,
    compress: bool,
) -> None:
    """Write an archive; `path` is replaced whole, by what can be read again, or left alone.

    Parameters
    ----------
    path : str or Path
    member : str
        Name of the JSON text, which becomes bytes of a uint8 array.
    text : dict
        As JSON can hold it.
    arrays : mapping of str to ndarray
    again : callable
        Reads such a file as whoever uses it does, and gives what `write` would write of that.
    compress : bool

    Raises
    ------
    ValueError
        If `again` refuses the file or gives anything else; names it.
    """
    plain = json.dumps(text, allow_nan=False)

    def holds(place: Path) -> bool:
        other, others = again(place)
        same = json.dumps(other) == plain and others.keys() == arrays.keys()
        return same and all(identical(array, others[name]) for name, array in arrays.items())

    with replacing(path, holds=holds) as file:
        encoded = np.frombuffer(plain.encode(), np.uint8)
        (np.savez_compressed if compress else np.savez)(file, **{**arrays, member: encoded})


def identical(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two arrays are the same bit for bit, those that are no numbers included."""
    return (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())


@contextmanager
def reading(path, member: str, most: int, trouble: str, kind: str) -> Iterator[tuple[dict, Mapping]]:
    """The text (in the array of a name) and the arrays of an archive, as of `opened`."""
    with opened(path, most, trouble, f"convgate {kind}") as arrays:
        yield json.loads(bytes(arrays[member])), arrays


@contextmanager
def opened(path, most: int, trouble: str, kind: str) -> Iterator[Mapping]:
    """The arrays of an ``.npz``, for a while.

    Parameters
    ----------
    path : str or Path
    most : int
        Bytes; what unpacks to more is refused before it is unpacked.
    trouble, kind : str
        What could not be done, and with what kind of file.

    Raises
    ------
    ValueError
        For a file that is no such archive, and in place of whatever goes wrong while it is read; the message
        is one line that names the file.
    OSError
        If it cannot be opened.
    """
    with open(path, "rb") as file, warnings.catch_warnings():
        warnings.simplefilter("error")  # NumPy's on headers that it did not write
        try:
            if file.read(2) != b"PK":
                raise ValueError  # NumPy takes what is no zip for a pickle, and says how to open that
            file.seek(0)
            with np.load(file, allow_pickle=False) as arrays:
                if sum(entry.file_size for entry in arrays.zip.infolist()) > most:
                    raise ValueError(f"it unpacks to more than {most:,} bytes")
                yield arrays
        except Exception as error:  # whatever a damaged file provokes in zipfile, NumPy or json
            reason = str(error).partition("\n")[0] if isinstance(error, ValueError) else ""
            raise ValueError(f"{trouble} {path}: {reason or f'it is damaged or no {kind}'}") from None
