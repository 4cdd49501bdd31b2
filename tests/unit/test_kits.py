"""What a lab's kits bring to a run of its checks."""

from collections.abc import Mapping
from dataclasses import replace
from types import ModuleType, SimpleNamespace
from typing import cast

import pytest

from labenv.checks import interface
from labenv.checks.interface import Kit, Part
from labenv.checks.machine import Machine, Site
from labenv.checks.restarts import Service
from labenv.checks.running import Run, probe
from labenv.errors import EngineError, UsageError
from labenv.lab import kits, labs
from labenv.mail.post import Post

LAB = labs.load("lab4b")
SITE = cast(Site, SimpleNamespace(machines={}, close=lambda: None))


def run(*names: str) -> Run:
    return Run(SITE, replace(LAB, kits=names), frozenset(LAB.steps))


def module(name: str, work: Mapping[str, object]) -> ModuleType:
    made = ModuleType(name)
    made.__dict__.update(work)
    return made


def test_each_kit_that_can_be_named_is_there() -> None:
    assert {"dns", "mail", "www"} <= set(kits.names())
    assert all(isinstance(one, Kit) for one in interface.of(replace(LAB, kits=kits.names())))


@pytest.mark.parametrize("name", ["post", "mail.kit", "../mail", "checks", ""])
def test_another_is_refused_by_name(name: str) -> None:
    with pytest.raises(UsageError, match=r"The kits are: .*mail"):
        run(name)


def test_a_lab_without_kits_has_nothing_of_them() -> None:
    bare = run()
    machine = cast(Machine, SimpleNamespace(name="box"))
    assert (bare.brings, bare.explained(machine), bare.stale(machine)) == ({}, None, [])
    bare.finish()


def test_a_probe_gets_what_it_asks_for_by_name() -> None:
    @probe
    def alone(site: Site) -> object:
        return site

    @probe
    def with_mail(site: Site, post: Post) -> object:
        return post

    mail = run("mail")
    assert mail.learn([module("conftest", {"alone": alone, "with_mail": with_mail})]) == {"alone", "with_mail"}
    mail.start(["alone", "with_mail"])
    assert mail.outcome("alone") is SITE
    assert isinstance(mail.outcome("with_mail"), Post)
    assert mail.outcome("with_mail") is mail.brings["post"]


def test_probes_of_one_name_in_two_labs_are_two() -> None:
    def of_lab(name: str) -> ModuleType:
        def zone(site: Site) -> str:
            return name

        return module(name, {"zone": probe(zone)})

    one, other = of_lab("one"), of_lab("other")
    for lab in (one, other, one):
        here = run()
        here.learn([lab])
        here.start(["zone"])
        assert here.outcome("zone") == lab.__name__


def test_every_part_is_asked_and_cleans_up_though_a_machine_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    done = []

    class Loud(Part):
        def give_up(self) -> None:
            done.append("gave up")

        def clean(self) -> None:
            done.append("cleaned")

        def explained(self, machine: Machine, seconds: int) -> None:
            raise EngineError(f"{machine.name} is gone")

    service = Service("httpd", "httpd", "true")
    monkeypatch.setattr(interface, "_kit", lambda _: Kit(part=Loud, services=(service,)))
    two = run("a", "b")

    def gone(_: str) -> object:
        raise EngineError("it is gone")

    machine = cast(Machine, SimpleNamespace(name="box", once=gone))
    assert (two.explained(machine), two.stale(machine)) == (None, [])
    two.is_cut = True
    two.finish()
    assert done == ["gave up", "gave up", "cleaned", "cleaned"]
