"""The further place to which copies go, beside the manager's disk: a folder, or a store such as S3 (fsspec)."""

import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from labenv.errors import LabenvError, UsageError
from labenv.text import one_line

_STORES = ("s3", "gs", "az")
# A place that does not answer is asked again anyway, by and by (labenv.swarm.mirror).
_RETRY = {"retry_config": {"max_retries": 2, "retry_timeout": timedelta(seconds=20)}}


class Unusable(LabenvError):
    """The place does not answer, or refuses."""


class Place:
    """Files under a URL such as file:///srv/labenv or s3://bucket/labenv.

    `settings` are those of fsspec for that protocol. For S3, Google's and Azure's stores they are obstore's. An example for a store of one's
    own with the interface of S3, where "allow_http" is for one without TLS:

        {"endpoint": "http://192.0.2.7:9000", "region": "us-east-1", "access_key_id": "…", "secret_access_key": "…",
         "client_options": {"allow_http": true}}
    """

    def __init__(self, url: str, settings: dict[str, Any]) -> None:
        """Say at once if the URL cannot be one. Raises UsageError."""
        import fsspec  # only the keeper of a class with a place needs it
        import obstore.fsspec

        for protocol in _STORES:  # fsspec's own clients for these are much larger
            obstore.fsspec.register(protocol)

        self.url = url.rstrip("/")
        try:
            self._files, self._root = fsspec.core.url_to_fs(
                self.url, **(_RETRY | settings if is_store(url) else settings)
            )
        except (ValueError, ImportError, TypeError) as error:
            raise UsageError(f"{self.url} is no place for copies: {one_line(str(error))}") from error
        self._is_store = is_store(url)

    def put(self, name: str, content: bytes) -> None:
        """Write a file. Raises Unusable."""
        with self._speaking("written"):
            path = f"{self._root}/{name}"
            if self._is_store:  # which has a file whole or not at all
                self._files.pipe_file(path, content)
            else:
                self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
                self._files.pipe_file(f"{path}.part", content)
                self._files.mv(f"{path}.part", path)

    def get(self, name: str) -> bytes | None:
        """The content of a file, None if there is none. Raises Unusable."""
        with self._speaking("read"):
            try:
                content: bytes = self._files.cat_file(f"{self._root}/{name}")
            except FileNotFoundError:
                return None
        return content

    def names(self, folder: str) -> set[str]:
        """The names of the files in a folder; none if it does not exist. Raises Unusable."""
        with self._speaking("read"):
            try:
                there = self._files.ls(f"{self._root}/{folder}", detail=False, refresh=True)
            except FileNotFoundError:
                return set()
        return {str(path).rstrip("/").rpartition("/")[2] for path in there}

    def drop(self, name: str) -> None:
        """Remove a file. Raises Unusable."""
        with self._speaking("written"), suppress(FileNotFoundError):
            self._files.rm_file(f"{self._root}/{name}")

    @contextmanager
    def _speaking(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # each protocol raises what its client does
            raise Unusable(
                f"{self.url} cannot be {what}: {one_line(str(error) or type(error).__name__)[:300]}"
            ) from error


def is_store(url: str) -> bool:
    """Whether a URL is one of an object store."""
    return url.partition("://")[0] in _STORES


def packed(folder: Path) -> bytes:
    """A folder as a tar archive: the repository of a history. Raises LabenvError if something in it cannot be read, or goes meanwhile."""
    archive = io.BytesIO()
    try:
        with tarfile.open(fileobj=archive, mode="w") as tar:
            tar.add(folder, folder.name)
    except OSError as error:
        raise LabenvError(f"{folder} cannot be read: {error.strerror}.") from error
    return archive.getvalue()


def settings(text: str) -> dict[str, Any]:
    """Settings of fsspec in a file of JSON. Raises UsageError if it is none."""
    try:
        told = json.loads(text)
    except ValueError as error:
        raise UsageError(f"The settings of the place are not JSON: {error}.") from error
    if not isinstance(told, dict):
        raise UsageError(
            "The settings of the place are no object of JSON. For a store with the interface of S3 they are such as "
            '{"endpoint": "https://s3.example.org", "region": "us-east-1", "access_key_id": "…", "secret_access_key": "…"}'
        )
    return told
