"""A student's work is kept: saved, restored, reset, carried to another engine, and still there after a reboot."""

import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path

import docker.errors
import pytest

from labenv.engine import Engine, pause, recipe, save_store
from labenv.engine.channel import Channel
from labenv.engine.find import connect
from labenv.engine.image_sources import wanted
from labenv.engine.labels import LABEL
from labenv.engine.stream import STDOUT, Stream
from labenv.environments import foreign, saves
from labenv.environments import transfer as archives
from labenv.environments.reboot import reboot
from labenv.errors import UsageError
from labenv.events import silent
from tests.e2e import rig
from tests.e2e.conftest import Cli
from tests.e2e.test_second_engine import PLAIN, labenv

MACHINES = ("host", "vm2", "vm3")


@pytest.fixture(scope="module")
def worked(cli: Cli, new_student: Callable[[], str]) -> Iterator[str]:
    """A student with an environment that has work in it."""
    student = new_student()
    cli("up", student, "--no-check")
    yield student
    cli("down", "-s", student)
    remove_saves(cli, student)


@pytest.fixture
def keeper(cli: Cli, student: str) -> Iterator[str]:
    """A student for one test, whose saves are removed with it."""
    yield student
    remove_saves(cli, student)


def remove_saves(cli: Cli, student: str) -> None:
    for save in cli.json("saves", "-s", student)["saves"]:
        cli("saves", "--remove", save["name"], "-s", student)


def names(cli: Cli, student: str) -> list[str]:
    return [save["name"] for save in cli.json("saves", "-s", student)["saves"]]


def inside(engine: Engine, student: str, machine: str, script: str) -> str:
    """The output of a script in a machine; faster than with the command line."""
    with closing(Channel(engine.api, f"labenv-{student}-{machine}")) as channel:
        return channel.run(script).stdout.decode()


def write(engine: Engine, student: str, text: str) -> None:
    """Work in every machine: a file, and a line in a file that the engine mounts."""
    for machine in MACHINES:
        inside(engine, student, machine, f"echo {text} >/root/work; echo '10.9.8.7 work.{text}' >>/etc/hosts")


def work(engine: Engine, student: str) -> set[str]:
    return {inside(engine, student, machine, "cat /root/work").strip() for machine in MACHINES}


def ticked(cli: Cli, student: str) -> dict[str, str]:
    """The words of each ticked step."""
    steps = cli.json("tick", "-s", student)["steps"]
    return {entry["step"]: entry["ticked"]["words"] for entry in steps if entry["ticked"]}


def test_a_save_brings_back_files_mail_queues_and_accounts(cli: Cli, engine: Engine, worked: str) -> None:
    write(engine, worked, "early")
    inside(engine, worked, "vm3", "useradd zoe; rm -rf /home/zoe/Maildir; postsuper -h ALL 2>/dev/null; true")
    inside(
        engine,
        worked,
        "vm2",
        "postconf -e relayhost=[192.0.2.1]; postfix reload; echo body | mail -s queued x@example.org",
    )
    inside(engine, worked, "vm2", "timeout 20 sh -c 'until mailq | grep -q x@example.org; do :; done'")
    saved = cli.json("save", "early", "-s", worked)
    assert saved["machines"] == list(MACHINES)
    assert saved["bytes"] < 20_000_000, "only what changed"
    write(engine, worked, "late")
    inside(engine, worked, "vm3", "userdel -r zoe 2>/dev/null")
    inside(engine, worked, "vm2", f"postsuper -d ALL; postconf -e relayhost=[vm3.{worked}.ops]; postfix reload")
    changes = cli.json("restore", "early", "-s", worked)["changes"]
    assert work(engine, worked) == {"early"}
    assert "work.early" in inside(engine, worked, "vm2", "cat /etc/hosts"), "the engine mounts that file"
    assert "work.late" not in inside(engine, worked, "vm2", "cat /etc/hosts")
    assert "zoe" in inside(engine, worked, "vm3", "getent passwd zoe")
    assert "x@example.org" in inside(engine, worked, "vm2", "mailq")
    assert inside(engine, worked, "vm2", "postconf -h relayhost") == "[192.0.2.1]\n"
    assert changes[0] == "before-restore-1"
    cli("restore", "before-restore-1", "-s", worked)
    assert work(engine, worked) == {"late"}, "a restore can be undone"
    assert cli.json("up", worked)["check"]["summary"]["failed"] == 0
    assert cli.json("up", worked, "--no-check")["drifted"] == []


def test_down_keeps_the_saves_and_says_so(cli: Cli, engine: Engine, keeper: str) -> None:
    cli("up", keeper, "--no-check", "--at", "lab4a")
    write(engine, keeper, "kept")
    cli("tick", "6", "understood", "-s", keeper)
    cli("save", "before-down", "-s", keeper)
    assert f"labenv saves -s {keeper}" in cli("down", "-s", keeper).stderr
    assert names(cli, keeper) == ["before-down"]
    cli("up", keeper, "--no-check", "--at", "relay")
    assert ticked(cli, keeper) == {}
    again = cli.json("restore", "before-down")
    assert ticked(cli, keeper) == {"6": "understood"}, "a save has the ticks"
    assert (again["student"], again["stage"]) == (keeper, "lab4a")
    assert work(engine, keeper) == {"kept"}
    would = cli("saves", "--remove", "before-down", "-s", keeper, "--dry-run").stderr
    assert would == f"Would remove {keeper}'s save before-down.\n"
    assert "before-down" in names(cli, keeper)
    cli("saves", "--remove", "before-down", "-s", keeper)
    cli("down", "-s", keeper)
    assert names(cli, keeper) == ["before-restore-1"]


def pruned(engine: Engine, student: str) -> None:
    """What `docker system prune --all --volumes` does to a student's saves, and to nobody else's."""
    mine = {"label": f"{LABEL}={student}"}
    for image in engine.api.images(name=save_store.REPOSITORY, filters=dict(mine)):
        for tag in image["RepoTags"] or []:
            with suppress(docker.errors.APIError):  # a machine stands on it
                engine.api.remove_image(tag)
    for volume in engine.api.volumes(filters=mine)["Volumes"] or []:
        engine.api.remove_volume(volume["Name"])


def test_a_save_whose_images_another_program_removed_comes_back(cli: Cli, engine: Engine, keeper: str) -> None:
    tree = (
        "find / -xdev ! -type s ! -path '/dev/*' ! -path '/tmp/*' ! -path '/var/tmp/*' ! -path '*/labenv/history/*'"
        " -printf '%p %y %m %U %G %l\\n' | sort; cat /root/work /etc/shadow; getcap /usr/bin/ping"
    )
    cli("up", keeper, "--no-check", "--at", "lda")
    inside(
        engine,
        keeper,
        "vm3",
        "rm -r /etc/skel; : >/etc/skel; mv /etc/motd.d /etc/m; useradd zoe; systemctl disable -q dovecot; touch -d '+1 hour' /root/later",  # as Postfix dates what it tries later
    )
    write(engine, keeper, "kept")
    cli("save", "first", "-s", keeper)
    before = inside(engine, keeper, "vm3", tree)
    write(engine, keeper, "late")

    engine.remove(engine.environments(keeper)[0])
    pruned(engine, keeper)
    [save] = cli.json("saves", "-s", keeper)["saves"]
    assert (save["name"], save["gone"], 0 < save["bytes"] < 300_000) == ("first", True, True)
    said = cli("up", keeper, "--no-check", "--at", "lab4a").stderr
    assert "not by `labenv down`" in said
    assert f"since the save first of {datetime.fromisoformat(save['made']).astimezone():%Y-%m-%d %H:%M} is lost" in said
    assert f"labenv restore first -s {keeper}" in said
    cli("restore", "first", "-s", keeper)
    assert work(engine, keeper) == {"kept"}
    assert inside(engine, keeper, "vm3", tree) == before

    write(engine, keeper, "on top")  # this save stands on the one before, which goes
    cli("save", "second", "-s", keeper)
    cli("saves", "--remove", "first", "-s", keeper)
    pruned(engine, keeper)
    cli("restore", "second", "-s", keeper)
    assert work(engine, keeper) == {"on top"}
    assert "zoe" in inside(engine, keeper, "vm3", "cat /etc/passwd")


def test_a_machine_that_another_program_removed_is_made_again_with_a_word(
    cli: Cli, engine: Engine, keeper: str
) -> None:
    cli("up", keeper, "--no-check", "--at", "lab4a")
    assert "gone" not in cli("up", keeper, "--no-check").stderr
    cli("save", "last", "-s", keeper)
    engine.remove_machine(f"labenv-{keeper}-vm2")
    said = cli("up", keeper, "--no-check").stderr
    assert "vm2 is gone, with the work there" in said
    assert "since the save last of" in said


def test_status_tells_of_machines_that_another_program_removed_until_down_forgets_them(
    cli: Cli, engine: Engine, student: str
) -> None:
    cli("up", student, "--no-check", "--at", "lab4a")
    [there] = engine.environments(student)
    engine.remove(there)
    said = cli("status").stderr
    assert f"the machines that labenv made for {student} at" in said
    assert f"labenv up {student}" in said
    cli("down", "-s", student)
    assert student not in cli("status").stderr
    assert "no environment" in cli("down", "-s", student, rc=3).stderr


def test_nothing_is_left_of_an_environment_that_is_gone_with_its_saves(
    cli: Cli, engine: Engine, student: str, tmp_path: Path
) -> None:
    own = Cli({"XDG_STATE_HOME": str(tmp_path / "state"), "XDG_CACHE_HOME": str(tmp_path / "cache")})

    def there() -> set[str]:
        mine = {"label": f"{LABEL}={student}"}
        files = [str(path) for path in tmp_path.rglob("*") if student in str(path.relative_to(tmp_path))]
        locks = [
            str(path) for place in ("/run/labenv", "/run/lock", "/tmp") for path in Path(place).rglob(f"*{student}*")
        ]
        cgroups = [
            str(path)
            for machine in MACHINES
            for path in Path("/sys/fs/cgroup").rglob(f"*{recipe.ident(student, machine)}*")
        ]
        named = [
            *(container["Names"][0] for container in engine.api.containers(all=True)),
            *(network["Name"] for network in engine.api.networks()),
            *(volume["Name"] for volume in engine.api.volumes()["Volumes"] or []),
            *(tag for image in engine.api.images() for tag in image["RepoTags"] or []),
        ]
        labelled = [volume["Name"] for volume in engine.api.volumes(filters=mine)["Volumes"] or []]
        labelled += [image["Id"] for image in engine.api.images(all=True, filters=mine)]
        return {*files, *locks, *cgroups, *labelled, *(name for name in named if student in name)}

    own("up", student, "--no-check", "--outside")
    own("hint", "1", "-s", student, rc=None)
    own("drill", "start", "reading-times-out", "-s", student)
    own("drill", "give-up", "--yes", "-s", student)
    own("exec", "-s", student, "vm3", "--", "sh", "-c", "iptables -F INPUT; iptables -P INPUT ACCEPT")
    own("check", "28", "-s", student, rc=None)  # a firewall on trial
    own("save", "one", "-s", student)
    own("restore", "one", "-s", student)
    own("reset", "vm2", "-s", student)
    assert there()
    own("down", "-s", student)
    kept = own.json("saves", "-s", student)["saves"]
    own("saves", *(word for save in kept for word in ("--remove", save["name"])), "-s", student)
    assert there() == set()
    assert [path.name for path in (tmp_path / "state").rglob("*") if path.is_file()] == ["lock"], "of all histories"


def test_a_reset_makes_one_machine_or_all_anew_and_can_be_undone(cli: Cli, engine: Engine, keeper: str) -> None:
    cli("up", keeper, "--no-check")
    write(engine, keeper, "mine")
    cli("reset", "vm2", "-s", keeper)
    assert work(engine, keeper) == {"mine", ""}
    assert inside(engine, keeper, "vm3", "cat /root/work") == "mine\n"
    cli("tick", "6", "-s", keeper)
    fresh = cli.json("reset", "--at", "relay", "-s", keeper)
    assert ticked(cli, keeper) == {}
    assert fresh["stage"] == "relay"
    assert fresh["changes"][0] == "before-reset-2"
    assert work(engine, keeper) == {""}
    assert cli.json("up", keeper)["check"]["summary"]["failed"] == 0
    assert cli.json("restore", "before-reset-1", "-s", keeper)["stage"] == "done"
    assert work(engine, keeper) == {"mine"}


def test_what_is_wrong_with_a_name_or_a_machine_is_said(cli: Cli, engine: Engine, worked: str) -> None:
    cli("save", "taken", "-s", worked)
    for arguments, said in (
        (("save", "taken", "-s", worked), "already has a save called taken"),
        (("save", "../up", "-s", worked), "cannot be called"),
        (("save", "", "-s", worked), "cannot be called"),
        (("restore", "nothing", "-s", worked), "no save called nothing"),
        (("restore", "nothing", "-s", "../x"), "student id"),
        (("saves", "--remove", "nothing", "-s", worked), "no save called nothing"),
        (("reset", "vm9", "-s", worked), "no machine 'vm9'"),
        (("reset", "--at", "lunch", "-s", worked), "no stage 'lunch'"),
        (("reboot", "-s", worked), "or --all"),
        (("export", "/nowhere/x", "-s", worked), "cannot be written"),
        (("import", "/nowhere/x"), "no file"),
    ):
        assert said in cli(*arguments, rc=2).stderr
    assert names(cli, worked).count("taken") == 1
    engine.api.remove_container(f"labenv-{worked}-vm2", force=True)
    assert "vm2 cannot be saved" in cli("save", "half", "-s", worked, rc=3).stderr
    assert "half" not in names(cli, worked)
    cli("restore", "taken", "-s", worked)


def test_a_restore_under_a_running_drill_is_refused(cli: Cli, engine: Engine, worked: str) -> None:
    cli("save", "calm", "-s", worked)
    labels = {LABEL: worked, "labenv.record": "drill"}
    engine.api.create_volume(f"drill-{worked}", labels=labels)
    try:
        for command in (("restore", "calm"), ("reset", "vm2")):
            assert "A drill is running" in cli(*command, "-s", worked, rc=2).stderr
    finally:
        engine.api.remove_volume(f"drill-{worked}")


def test_saves_of_saves_do_not_run_out_of_layers(
    engine: Engine, cli: Cli, worked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(engine, worked, "deep")
    monkeypatch.setattr(save_store, "_DEEPEST", 5)  # instead of a hundred, which take an hour
    flat = saves.save(engine, engine.environments(worked)[0], "flat", silent)
    for copy in flat.copies:
        assert len(engine.api.inspect_image(copy.tag)["RootFS"]["Layers"]) == 1
    saves.restore(engine, worked, "flat", silent)
    assert work(engine, worked) == {"deep"}
    assert cli.json("check", "-s", worked)["summary"]["failed"] == 0
    reboot(engine, engine.environments(worked)[0], engine.environments(worked)[0].regular, silent)
    assert inside(engine, worked, "vm2", "systemctl is-system-running") == "running\n"


def test_a_power_cut_loses_only_what_was_not_saved(cli: Cli, engine: Engine, worked: str) -> None:
    write(engine, worked, "electric")
    inside(engine, worked, "vm3", "systemctl disable -q dovecot; iptables -I INPUT -p tcp --dport 4444 -j ACCEPT")
    cli("reboot", "--all", "--hard", "-s", worked)
    assert work(engine, worked) == {"electric"}
    assert "4444" not in inside(engine, worked, "vm3", "iptables-save")
    assert inside(engine, worked, "vm3", "systemctl is-active dovecot") == "inactive\n"
    inside(engine, worked, "vm3", "systemctl enable -q --now dovecot")
    assert cli.json("check", "-s", worked)["summary"]["failed"] == 0


def test_the_sheets_own_backup_is_checked(cli: Cli, engine: Engine, worked: str) -> None:
    def standing() -> dict[str, tuple[str, str]]:
        results = cli.json("check", "48", "-s", worked, rc=None)["results"]
        return {result["machine"]: (result["status"], result["evidence"]) for result in results}

    assert {status for status, _ in standing().values()} == {"skip"}
    inside(engine, worked, "vm2", "tar -czf /root/vm2.tar.gz -C / etc home var/spool")
    password = cli.json("status", "-s", worked)["environments"][0]["password"]
    typed = f"""mkdir -p /backup/incremental/vm3; cd /backup
        echo 'echo {password}' >/root/ask; chmod +x /root/ask
        export SSH_ASKPASS=/root/ask SSH_ASKPASS_REQUIRE=force
        o='-o StrictHostKeyChecking=accept-new'
        scp $o root@vm2:/root/vm2.tar.gz . && rsync -a -e "ssh $o" root@vm3:/etc /backup/incremental/vm3"""
    inside(engine, worked, "host", typed)
    assert {status for status, _ in standing().values()} == {"pass"}, standing()
    inside(engine, worked, "vm3", "echo '# later' >>/etc/dovecot/conf.d/10-mail.conf")
    inside(engine, worked, "host", "truncate -s -50 /backup/vm2.tar.gz")
    broken = standing()
    assert broken["vm2"][0] == broken["vm3"][0] == "fail"
    assert "10-mail.conf" in broken["vm3"][1]
    inside(engine, worked, "host", "rm -r /backup")
    inside(engine, worked, "vm3", "sed -i '/# later/d' /etc/dovecot/conf.d/10-mail.conf")


def test_what_a_reboot_loses_is_said(cli: Cli, engine: Engine, worked: str) -> None:
    inside(engine, worked, "vm3", "systemctl disable -q dovecot; iptables -I INPUT -p tcp --dport 4444 -j ACCEPT")
    found = cli.json("check", "29", "31", "41", "--after-reboot", "-s", worked, rc=1)
    lost = {(thing["machine"], thing["kind"], thing["what"]) for thing in found["lost"]}
    assert ("vm3", "service", "dovecot.service") in lost
    assert ("vm3", "rule", "-A INPUT -p tcp -m tcp --dport 4444 -j ACCEPT") in lost
    assert ("vm3", "port", "0.0.0.0:143") in lost
    assert {machine for machine, _, _ in lost} == {"vm3"}
    inside(engine, worked, "vm3", "systemctl enable -q --now dovecot")
    assert "Nothing was lost in the reboot" in cli("check", "29", "31", "41", "--after-reboot", "-s", worked).stdout


def test_a_machine_that_froze_while_a_command_started_in_it_goes_on(cli: Cli, engine: Engine, worked: str) -> None:
    container = f"labenv-{worked}-vm2"
    named = engine.api.inspect_container(container)["Id"]
    switches = [*Path("/sys/fs/cgroup").rglob(f"*{named}*/freezer.state")]
    switches += [*Path("/sys/fs/cgroup").rglob(f"*{named}*/cgroup.freeze")]
    if not switches or not os.access(switches[0], os.W_OK):
        pytest.skip("the cgroups of this engine are not here")
    freeze, thaw = ("FROZEN", "THAWED") if switches[0].name == "freezer.state" else ("1", "0")
    for tenths in range(200):  # of a millisecond, until it meets the moment between runc's own look and the start
        with closing(Stream(engine.api, container, ["echo", "after all"])) as starting:
            time.sleep(tenths / 10_000)
            switches[0].write_text(freeze)  # what `docker pause` does
            try:
                starting.frame(time.monotonic() + 0.2)
                switches[0].write_text(thaw)
            except TimeoutError:
                pause.go_on(engine, container)
                assert starting.frame(time.monotonic() + 10) == (STDOUT, b"after all\n")
                return
    pytest.fail("the moment was never met")


def test_a_machine_that_the_engine_paused_while_commands_started_in_it_goes_on(engine: Engine, worked: str) -> None:
    container = f"labenv-{worked}-vm2"
    over = threading.Event()

    def busy() -> None:
        mine = Engine(connect(silent))
        while not over.is_set():
            try:
                mine.api.exec_start(mine.api.exec_create(container, ["true"]))
            except docker.errors.APIError:  # it is paused
                time.sleep(0.01)

    with ThreadPoolExecutor(4) as pool:
        others = [pool.submit(busy) for _ in range(4)]
        try:
            longest = 0.0
            for _ in range(60):  # until a command was caught while it started, for which the engine waits
                pause.hold(engine, container)
                began = time.monotonic()
                pause.go_on(engine, container)
                assert not engine.api.inspect_container(container)["State"]["Paused"]
                longest = max(longest, time.monotonic() - began)
                if longest > pause._STUCK:
                    break
        finally:
            over.set()
        for other in others:
            other.result(30)  # none of them waits for ever


@pytest.fixture(scope="module")
def archive(cli: Cli, engine: Engine, worked: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the work `travelled` and an edit in it, exported."""
    write(engine, worked, "travelled")
    cli("exec", "vm2", "-s", worked, "--", "sh", "-c", "echo '10.9.8.6 further' >>/etc/hosts")
    cli("tick", "6", "travelled", "-s", worked)
    file = tmp_path_factory.mktemp("archive") / "lab.labenv"
    cli("export", str(file), "-s", worked)
    return file


def test_a_broken_archive_is_refused_and_nothing_changes(
    cli: Cli, engine: Engine, worked: str, archive: Path, tmp_path: Path
) -> None:
    before = names(cli, worked)
    whole = archive.read_bytes()
    cut, flipped, other = (tmp_path / name for name in ("cut", "flipped", "other"))
    cut.write_bytes(whole[: len(whole) // 8])
    last = len(whole) - 1000
    flipped.write_bytes(whole[:last] + bytes([whole[last] ^ 1]) + whole[last + 1 :])
    other.write_bytes(gzip.compress(b"not a tar"))
    for file in (cut, flipped, other):
        assert "not a complete archive" in cli("import", str(file), rc=2).stderr
    with gzip.open(archive, "rb") as packed, tarfile.open(fileobj=packed, mode="r|") as old:
        altered = repacked(old, tmp_path / "altered", lambda name: name.endswith(".json") and "manifest" not in name)
    assert "was changed" in cli("import", str(altered), rc=2).stderr
    assert names(cli, worked) == before
    assert work(engine, worked) == {"travelled"}


def repacked(old: tarfile.TarFile, file: Path, changed: Callable[[str], bool]) -> Path:
    """The same archive, complete, with the stage changed in some members."""
    with gzip.open(file, "wb", compresslevel=0) as packed, tarfile.open(fileobj=packed, mode="w|") as new:
        for member in old:
            content = old.extractfile(member) if member.isfile() else None
            if content and changed(member.name):
                text = content.read().replace(b'"labenv.stage":"done"', b'"labenv.stage":"lab0"')
                content = io.BytesIO(text)
            new.addfile(member, content)
    return file


@pytest.mark.parametrize("name", ["./manifest.json", "x/../manifest.json", "manifest.json"])
def test_an_archive_that_an_engine_would_read_otherwise_brings_nothing_in(
    cli: Cli, engine: Engine, archive: Path, tmp_path: Path, name: str
) -> None:
    target = wanted()["dovecot"].tag
    before = engine.api.inspect_image(target)["Id"]
    config = json.dumps(
        {"architecture": engine.architecture, "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}
    )
    manifest = json.dumps([{"Config": "evil.json", "RepoTags": [target], "Layers": []}]).encode()
    with gzip.open(archive, "rb") as packed, tarfile.open(fileobj=packed, mode="r|") as old:
        file = tmp_path / "evil"
        with gzip.open(file, "wb", compresslevel=0) as made, tarfile.open(fileobj=made, mode="w|") as new:
            for member in old:
                new.addfile(member, old.extractfile(member) if member.isfile() else None)
            for evil, content in (("evil.json", config.encode()), (name, manifest + b" " * 1_100_000)):
                entry = tarfile.TarInfo(evil)
                entry.size = len(content)
                new.addfile(entry, io.BytesIO(content))
    assert "Nothing was changed here" in cli("import", str(file), rc=2).stderr
    assert engine.api.inspect_image(target)["Id"] == before


def test_an_archive_whose_settings_an_engine_would_read_otherwise_brings_nothing_in(
    cli: Cli, engine: Engine, worked: str, archive: Path, tmp_path: Path
) -> None:
    before = names(cli, worked)
    hidden = {"Labels": {"labenv.topology": "/etc/shadow", "evil.label": "x"}, "Volumes": {"/evil": {}}}
    with gzip.open(archive, "rb") as packed, tarfile.open(fileobj=packed, mode="r|") as old:
        small = {m.name: found.read() for m in old if m.size < 1_000_000 and (found := old.extractfile(m))}
    changed = {}
    manifest = small["manifest.json"]
    for name in (entry["Config"] for entry in json.loads(manifest)):
        config = small[name][:-1] + b',"CONFIG":' + json.dumps(hidden).encode() + b"}"
        digest = hashlib.sha256(config).hexdigest()
        changed[name] = (name.replace(hashlib.sha256(small[name]).hexdigest(), digest), config)
        manifest = manifest.replace(name.encode(), changed[name][0].encode())
    changed["manifest.json"] = ("manifest.json", manifest)
    file = tmp_path / "evil"
    with (
        gzip.open(archive, "rb") as packed,
        tarfile.open(fileobj=packed, mode="r|") as old,
        gzip.open(file, "wb", compresslevel=0) as made,
        tarfile.open(fileobj=made, mode="w|") as new,
    ):
        for member in old:
            content = old.extractfile(member) if member.isfile() else None
            if member.name in changed:
                member.name, text = changed[member.name]
                member.size, content = len(text), io.BytesIO(text)
            new.addfile(member, content)
    said = cli("import", str(file), rc=2).stderr
    assert "is not JSON" in said
    assert "Nothing was changed here" in said
    assert names(cli, worked) == before
    assert not engine.api.images(filters={"label": "evil.label"}, all=True)


def test_an_archive_of_another_format_is_refused_and_one_of_another_build_is_not(
    cli: Cli, engine: Engine, worked: str, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(save_store, "CURRENT", "99")
        with pytest.raises(UsageError, match=r"is an archive of format 1, written by labenv .* reads format 99"):
            archives.load(engine, archive, silent)
    monkeypatch.setattr(foreign, "__version__", "99.9")
    before = names(cli, worked)
    made = archives.load(engine, archive, silent)
    assert set(names(cli, worked)) - set(before) == {made.name}
    saves.remove(engine, worked, made.name, silent)


def test_an_archive_beside_a_running_environment_becomes_a_save(
    cli: Cli, engine: Engine, worked: str, archive: Path
) -> None:
    before = names(cli, worked)
    assert "was not changed" in cli("import", str(archive)).stdout
    [imported] = set(names(cli, worked)) - set(before)
    assert imported.startswith("export-")
    write(engine, worked, "later")
    cli("tick", "6", "later", "-s", worked)
    cli("restore", imported, "-s", worked)
    assert work(engine, worked) == {"travelled"}
    assert ticked(cli, worked) == {"6": "travelled"}
    cli("reset", "vm2", "-s", worked)
    cli("save", "of-foreign", "-s", worked)
    cli("restore", "of-foreign", "-s", worked)
    caps = {m: engine.api.inspect_container(f"labenv-{worked}-{m}")["HostConfig"]["CapAdd"] for m in MACHINES}
    assert all("PTRACE" not in cap for m in MACHINES for cap in caps[m]), (
        "somebody else's root could take over the engine's"
    )


@pytest.mark.skipif(rig.available() is not None, reason=rig.available() or "")
def test_an_archive_comes_up_on_an_engine_without_images_or_network(
    worked: str, archive: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with rig.cgroup2_engine(tmp_path_factory.mktemp("rig")) as engine:
        moved = shutil.copy(archive, archive.with_name("moved"))
        assert f"{worked}'s lab is up" in labenv(engine, "import", str(moved)).stdout
        for machine in MACHINES:
            assert labenv(engine, "exec", machine, "--", "cat", "/root/work").stdout == "travelled\n"
        assert "All checks pass" in labenv(engine, "check").stdout
        assert "10.9.8.6" in labenv(engine, "history", "hosts", "--patch").stdout
        assert "no image" not in engine.run(["docker", "ps", "--all"], env=PLAIN).stdout


@pytest.mark.skipif(rig.available() is not None, reason=rig.available() or "")
def test_a_full_disk_in_the_middle_of_a_save_loses_nothing(
    bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with rig.cgroup2_engine(tmp_path_factory.mktemp("rig"), megabytes=900) as engine:
        labenv(engine, "images", "import", str(bundle))
        labenv(engine, "up", "full", "--no-check")
        labenv(
            engine, "exec", "vm3", "--", "sh", "-c", "head -c 30000000 /dev/urandom >/root/large; echo mine >/root/work"
        )
        filler = engine.data / "filler"
        room = int(engine.run(["df", "--output=avail", str(engine.data)]).stdout.split()[1])
        engine.run(["fallocate", "--length", f"{room - 10_000}KiB", str(filler)])
        assert "The disk is full" in labenv(engine, "save", "much", rc=3).stderr
        engine.run(["rm", str(filler)])
        assert '"saves": []' in labenv(engine, "saves", "--json").stdout
        assert "labenv-save" not in engine.run(["docker", "images", "--all"]).stdout
        assert labenv(engine, "exec", "vm3", "--", "cat", "/root/work").stdout == "mine\n"
        labenv(engine, "save", "much")
        labenv(engine, "down", "-s", "full")
        labenv(engine, "restore", "much")
        assert labenv(engine, "exec", "vm3", "--", "cat", "/root/work").stdout == "mine\n"
