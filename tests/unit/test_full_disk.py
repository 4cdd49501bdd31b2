"""What a disk that was full leaves in an engine, and what is said of it."""

from types import SimpleNamespace
from typing import Any

import docker.errors
import pytest

from labenv.engine import Engine
from labenv.engine.errors import refusals
from labenv.errors import EngineError


class Api:
    """An engine's API whose network still has what a start that failed left there in a machine's name."""

    def __init__(self) -> None:
        self.left, self.names, self.running, self.networks = {"lab-vm2"}, {"lab-vm2"}, False, {"lab"}

    def inspect_container(self, name: str) -> Any:
        return {"NetworkSettings": {"Networks": {"lab": {}, "lab.wan": {}}}}

    def start(self, name: str) -> None:
        if name in self.left:
            raise docker.errors.APIError(f"endpoint with name {name} already exists in network lab")
        self.running = True

    def rename(self, old: str, new: str) -> None:
        self.names = self.names - {old} | {new}

    def disconnect_container_from_network(self, name: str, network: str, *, force: bool) -> None:
        if network != "lab" or name in self.names or not force or name not in self.left:
            raise docker.errors.APIError(f"{name} is not connected to {network}")
        self.left -= {name}

    def inspect_network(self, network: str) -> Any:
        return {"Containers": {f"ep-{number}": {"Name": name} for number, name in enumerate(self.left)}}

    def remove_network(self, network: str) -> None:
        forbidden: Any = SimpleNamespace(status_code=403)
        if self.left:
            raise docker.errors.APIError("network lab has active endpoints", forbidden)
        self.networks -= {network}


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def engine(api: Api) -> Engine:
    connection: Any = SimpleNamespace(
        client=SimpleNamespace(api=api), is_local=True, endpoint=SimpleNamespace(socket=None)
    )
    return Engine(connection)


def test_a_machine_starts_though_an_earlier_start_failed_half_way(api: Api, engine: Engine) -> None:
    engine.start("lab-vm2")
    assert api.running
    assert api.names == {"lab-vm2"}


def test_a_network_is_removed_with_what_is_no_container_any_more(api: Api, engine: Engine) -> None:
    api.names.clear()
    engine.remove_network("lab")
    assert not api.networks


def test_a_full_disk_is_one_sentence_whatever_was_being_written() -> None:
    said = set()
    for number in range(2):
        with pytest.raises(EngineError) as error, refusals(f"starting vm{number}"):
            raise docker.errors.APIError(
                f"write /data/containers/{number}/.tmp-hostconfig.json: no space left on device"
            )
        said.add(str(error.value))
    assert len(said) == 1
    assert "The disk is full where the engine keeps its data" in said.pop()
    with pytest.raises(EngineError, match="allows no more namespaces"), refusals("starting vm2"):
        raise docker.errors.APIError("unshare: no space left on device")
