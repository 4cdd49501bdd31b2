"""The further place to which copies go, beside the manager's disk: a folder, or a store such as S3 (fsspec)."""

import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from labenv.errors import LabenvError, UsageError
from labenv.text import one_line


class Place:
    """Files under a URL such as file:///srv/labenv or s3://bucket/labenv; `settings` are those of fsspec for that protocol."""

    def __init__(self, url: str, settings: dict[str, Any]) -> None:
        """Say at once if the URL cannot be one. Raises UsageError."""
        import fsspec  # only the keeper of a class with a place needs it
        import obstore.fsspec

        for protocol in ("s3", "gs", "az"):  # fsspec's own clients for these are much larger
            obstore.fsspec.register(protocol)

        self.url = url.rstrip("/")
        try:
            self._files, self._root = fsspec.core.url_to_fs(self.url, **settings)
        except (ValueError, ImportError, TypeError) as error:
            raise UsageError(f"{self.url} is no place for copies: {one_line(str(error))}") from error

    def put(self, name: str, content: bytes) -> None:
        """Write a file. Raises LabenvError."""
        with self._speaking("written"):
            path = f"{self._root}/{name}"
            self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
            self._files.pipe_file(path, content)

    def get(self, name: str) -> bytes | None:
        """The content of a file, None if there is none. Raises LabenvError."""
        with self._speaking("read"):
            try:
                content: bytes = self._files.cat_file(f"{self._root}/{name}")
            except FileNotFoundError:
                return None
        return content

    def names(self, folder: str) -> set[str]:
        """The names of the files in a folder; none if it does not exist. Raises LabenvError."""
        with self._speaking("read"):
            try:
                there = self._files.ls(f"{self._root}/{folder}", detail=False, refresh=True)
            except FileNotFoundError:
                return set()
        return {str(path).rstrip("/").rpartition("/")[2] for path in there}

    def drop(self, name: str) -> None:
        """Remove a file. Raises LabenvError."""
        with self._speaking("written"):
            self._files.rm_file(f"{self._root}/{name}")

    @contextmanager
    def _speaking(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # each protocol raises what its client does
            raise LabenvError(
                f"{self.url} cannot be {what}: {one_line(str(error) or type(error).__name__)[:300]}"
            ) from error


def packed(folder: Path) -> bytes:
    """A folder as a tar archive: the repository of a history."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(folder, folder.name)
    return archive.getvalue()


def settings(text: str) -> dict[str, Any]:
    """Settings of fsspec in a file of JSON. Raises UsageError if it is none."""
    try:
        told = json.loads(text)
    except ValueError as error:
        raise UsageError(f"The settings of the place are not JSON: {error}.") from error
    if not isinstance(told, dict):
        raise UsageError('The settings of the place are an object of JSON, such as {"key": "…", "secret": "…"}.')
    return told
