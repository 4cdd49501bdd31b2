"""Drills: each is a fault that shows, that its fix repairs, and that outlasts a reboot if it says so."""

from labenv.engine import Engine
from labenv.environment import Environment
from labenv.environments import fault
from labenv.environments.reboot import reboot
from labenv.events import silent
from labenv.lab.drills import Drill, filled
from labenv.lab.mutations import Mutation
from labenv.proof import verdict
from labenv.proof.place import Place
from labenv.proof.rows import Row, own_drills

# The places where a machine keeps what was typed or done by name.
_TRACES = (
    "grep -rlsF -e {word} /root /home /tmp /var/tmp /var/log /etc /run --exclude-dir=journal; "
    "journalctl -q | grep -F {word}"
)
_PATIENCE = 120  # seconds to look for the symptom


def problems(place: Place, row: Row) -> list[str]:
    """What differs from the drill's own words. Raises LabenvError if it cannot be tried.

    Drills follow each other in one environment: what passes after a fix must pass before the next fault.
    """
    drill = next(one for one in own_drills(place.lab) if one.name == row.name)
    environment = place.finished(whole=False)
    place.typed_into(drill.machines)
    found = _tried(place, environment, drill)
    if not found:
        place.fixed(drill.machines)
    return found


def _tried(place: Place, environment: Environment, drill: Drill) -> list[str]:
    engine = place.engine
    found: list[str] = []

    def expect(fact: bool, sentence: str) -> None:
        if not fact:
            found.append(sentence)

    def is_seen() -> bool:
        machine, command = drill.seen
        with engine.shell(environment.machine(machine)) as shell:
            return shell.run(filled(command, environment.student), timeout=_PATIENCE).rc == 0

    def fails() -> bool:
        return any(result.status == "fail" for result in place.checked(environment))

    fault.break_(engine, environment, drill, silent)
    expected = Mutation(drill.name, drill.title, "", drill.machines, "", drill.trips, ())
    found += [f"with the fault: {said}" for said in verdict.of_mutation(expected, place.checked(environment))]
    expect(is_seen(), "the symptom is not seen")
    found += traces(engine, environment, drill.name)
    if drill.half:
        fault.type_(engine, environment, drill, drill.half)
        expect(not is_seen(), "the half fix does not even hide the symptom")
        expect(fails(), "with the half fix all checks pass")
    reboot(engine, environment, [environment.machine(name) for name in drill.machines], silent)
    expect(
        is_seen() == drill.survives_reboot or bool(drill.half),
        "after a reboot the symptom is not as survives-reboot says",
    )
    if drill.half or not drill.survives_reboot:
        expect(fails() == drill.survives_reboot, "after a reboot the checks are not as survives-reboot says")
    fault.fix(engine, environment, drill, silent)
    found += [f"after the fix: {said}" for said in verdict.failures(place.checked(environment))]
    expect(not is_seen(), "the symptom is still seen after the fix")
    return found


def traces(engine: Engine, environment: Environment, word: str) -> list[str]:
    """The places in the machines that contain a drill's name, which would give it away."""
    found = []
    for machine in environment.machines:
        with engine.shell(machine) as shell:
            if said := shell.run(_TRACES.format(word=word)).text:
                found.append(f"{machine.name} contains the drill's name: {said}")
    return found
