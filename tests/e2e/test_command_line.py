"""The contract of the command line that other people's scripts rely on."""

import itertools
import json
import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pexpect
import pytest
from rich.cells import cell_len

from labenv.cli.app import CHAPTERS
from labenv.computer import slowness
from labenv.engine import Engine
from labenv.environments.lock import locked
from labenv.events import silent
from tests.e2e.conftest import Cli


def test_status_json_has_the_documented_shape(cli: Cli, finished: dict[str, Any]) -> None:
    [environment] = cli.json("status", "-s", finished["student"])["environments"]
    assert environment.keys() >= {"student", "lab", "stage", "domain", "network", "password", "machines"}
    for machine in environment["machines"]:
        assert machine.keys() == {"name", "address", "state", "container", "published"}
        assert machine["state"] == "running"
        assert machine["container"] == f"labenv-{finished['student']}-{machine['name']}"
    assert environment["machines"][2]["published"].keys() == {"25", "143"}


def test_check_json_has_the_documented_shape(cli: Cli, finished: dict[str, Any]) -> None:
    document = cli.json("check", "19", "11b", "-s", finished["student"])
    assert document.keys() == {"student", "lab", "results", "summary"}
    assert {result["step"] for result in document["results"]} == {"19", "11b"}
    for result in document["results"]:
        assert result.keys() == {"step", "check", "machine", "title", "status", "evidence", "hint", "seen", "expected"}


def test_exec_passes_on_output_input_and_exit_code(cli: Cli, finished: dict[str, Any]) -> None:
    student = finished["student"]
    done = cli("exec", "-s", student, "vm2", "--", "sh", "-c", "cat; echo oops >&2; exit 42", rc=42, stdin="hello\n")
    assert (done.stdout, done.stderr) == ("hello\n", "oops\n")
    assert cli("exec", "vm2", "-s", student, "--", "echo", "--json", "-x").stdout == "--json -x\n"
    big = cli("exec", "-s", student, "vm2", "--", "head", "-c", "3000000", "/dev/zero").stdout
    assert len(big) == 3_000_000


def test_shell_is_a_real_terminal(finished: dict[str, Any]) -> None:
    master, slave = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "labenv", "shell", "vm3", "-s", finished["student"]],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=os.environ | {"TERM": "xterm"},
    ) as shell:
        os.close(slave)
        os.write(master, b"tty; stty size; hostname; exit 7\n")
        screen = b""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if not select.select([master], [], [], 1)[0]:
                continue
            try:
                screen += os.read(master, 4096)
            except OSError:  # the other side has closed: the shell has ended
                break
        assert shell.wait(10) == 7, screen
    text = screen.decode()
    assert "/dev/pts/" in text
    assert f"vm3.{finished['domain']}" in text


def test_who_works_in_a_machine_that_is_switched_off_is_told_so_and_has_a_sane_terminal(
    cli: Cli, finished: dict[str, Any]
) -> None:
    student = finished["student"]
    begun = {
        "shell": ["shell", "vm2", "-s", student],
        "exec": ["exec", "vm2", "-s", student, "--", "sh", "-c", r"printf '\033[?1049h\033[?25l# '; exec sleep 300"],
        "logs": ["logs", "vm2", "-f", "-s", student],
    }
    working = {
        name: pexpect.spawn(sys.executable, ["-m", "labenv", *words], dimensions=(24, 80), encoding="utf-8", timeout=60)
        for name, words in begun.items()
    }
    try:
        for name, prompt in (("shell", "# "), ("exec", "# "), ("logs", "postfix")):
            working[name].expect(prompt)
        cli("reboot", "vm2", "--hard", "-s", student)
        for name, what in (("shell", "this shell"), ("exec", "the command"), ("logs", "its log")):
            working[name].expect(pexpect.EOF)
            working[name].close()
            said = " ".join((working[name].before or "").split())  # however it is folded
            assert f"vm2 was switched off (labenv reboot vm2 --hard -s {student}), so {what} ended." in said
            assert f"Continue with: labenv {name} vm2{' -f' if name == 'logs' else ''} -s {student}" in said
            assert "137" not in said
            assert ("\x1b[?25h" in said and "\x1b[?47l" in said) == (name != "logs"), (
                "the cursor and the screen are back"
            )
            assert working[name].exitstatus == 3
    finally:
        for child in working.values():
            child.close(force=True)


def test_logs_show_the_machines_mail_log(cli: Cli, finished: dict[str, Any]) -> None:
    assert "postfix" in cli("logs", "vm3", "-s", finished["student"]).stdout


def test_completion_knows_machines_students_and_stages(finished: dict[str, Any]) -> None:
    def completed(line: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "labenv"],
            env=os.environ
            | {"_LABENV_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)},
            capture_output=True,
            text=True,
            check=False,
        ).stdout

    assert {"host", "vm2", "vm3"} <= set(completed("labenv shell ").split())
    assert finished["student"] in completed(f"labenv check -s {finished['student'][:4]}").split()
    assert "lab4a" in completed("labenv up x --at l").split()


@pytest.mark.parametrize("command", [*itertools.chain(*CHAPTERS.values())])
def test_every_command_explains_itself_with_an_example(cli: Cli, command: str) -> None:
    text = cli(command, "--help").stdout
    assert re.search(rf"labenv {command}", text.split("Usage")[1].partition("\n")[2])
    assert "..." not in text.partition("Commands:")[2], "the sentences are whole"


def test_help_comes_at_once() -> None:
    def once() -> float:
        before = time.monotonic()
        subprocess.run([sys.executable, "-m", "labenv", "--help"], capture_output=True, check=True)
        return time.monotonic() - before

    assert min(once() for _ in range(5)) < 0.6, "twice the target, as other tests may be running"


def test_ctrl_c_ends_a_command_at_once_and_says_how_to_go_on(engine: Engine, student: str) -> None:
    with (
        locked(engine, student, silent),
        subprocess.Popen([sys.executable, "-m", "labenv", "up", student], stderr=subprocess.PIPE, text=True) as waiting,
    ):
        assert waiting.stderr
        assert "waiting for process" in waiting.stderr.readline()
        before = time.monotonic()
        waiting.send_signal(signal.SIGINT)
        said = waiting.communicate(timeout=60)[1]
        assert waiting.returncode == 130
    assert said == "labenv: interrupted. What was made is kept; the same command continues from there.\n"
    assert time.monotonic() - before < 10 * slowness()


def test_a_full_disk_for_what_is_printed_is_told_in_a_sentence(finished: dict[str, Any]) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        for arguments in (["--help"], ["status"], ["status", "--json"]):
            done = subprocess.run(
                [sys.executable, "-m", "labenv", *arguments],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
            assert (done.returncode, done.stderr.count("\n")) == (3, 1), done.stderr
            assert "The disk is full" in done.stderr


def test_a_command_whose_output_is_closed_still_tells_how_it_ended(finished: dict[str, Any]) -> None:
    for arguments, code in (("--version", 0), (f"check 9 -s {finished['student']} --json", 0), ("check lunch", 2)):
        done = subprocess.run(["sh", "-c", f"{shlex.quote(sys.executable)} -m labenv {arguments} >&-"], check=False)
        assert done.returncode == code, arguments


def test_doctor_speaks_in_sentences(cli: Cli) -> None:
    found = cli.json("doctor", rc=None)["findings"]
    assert {"engine", "cgroup", "disk"} <= {finding["topic"] for finding in found}
    for finding in found:
        assert finding["sentence"].endswith(".")
        assert finding["status"] == "ok" or finding["mend"]


@pytest.mark.parametrize(
    "settings",
    [{"PYTHONIOENCODING": "latin-1"}, {"PYTHONUTF8": "0", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}],
)
def test_signs_become_words_where_the_output_is_not_utf_8(finished: dict[str, Any], settings: dict[str, str]) -> None:
    command = [sys.executable, "-m", "labenv", "check", "27", "29", "-s", finished["student"]]
    done = subprocess.run(command, env=os.environ | settings, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "ok" in done.stdout.decode("latin-1")
    assert b"checking 2 steps of lab4b ..." in done.stderr


def test_a_users_docker_settings_stay_out_of_the_lab(student: str, tmp_path: Path, engine: Engine) -> None:
    proxy = {"httpProxy": "http://proxy.invalid:3128", "noProxy": "localhost"}
    (tmp_path / "config.json").write_text(
        json.dumps({"credsStore": "desktop.exe", "credHelpers": {"x.invalid": "none"}, "proxies": {"default": proxy}})
    )
    Cli({"DOCKER_CONFIG": str(tmp_path)})("up", student, "--no-check")
    for machine in engine.environments(student)[0].machines:
        assert "proxy" not in str(engine.api.inspect_container(machine.container)["Config"]["Env"]).lower()
    (tmp_path / "Dockerfile").write_text("ARG BASE\nFROM $BASE\n")
    code = (
        "from pathlib import Path; from labenv.engine import Engine; from labenv.engine.find import connect; "
        "from labenv.engine.images import Images; from labenv.events import silent; import os; "
        "e = Engine(connect(silent)); Images(e).build_stock(Path(os.environ['DOCKER_CONFIG']), 'labenv-test-x', silent); "
        "Images(e).remove_tagged(('labenv-test-x',))"
    )
    built = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"DOCKER_CONFIG": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr


# A call of each command. Those with an empty one change what the other tests share, or have no words of their own.
CALLS = {
    "up": ["up {student} --no-check", "up {student} --net 300"],
    "status": ["status"],
    "graph": ["graph", "graph --write {folder}/x.svg"],
    "shell": [],
    "exec": ["exec vm2 -- true"],
    "logs": ["logs vm3 -n 3"],
    "capture": ["capture --for 1s"],
    "serve": [],
    "desktop": [],
    "client": ["client"],
    "tunnel": [],
    "impair": ["impair vm2 --clear"],
    "reboot": [],
    "down": ["down --dry-run"],
    "save": ["save read-aloud"],
    "restore": ["restore nosuch"],
    "saves": ["saves", "saves --remove read-aloud --yes"],
    "reset": ["reset vm9"],
    "export": [],
    "import": ["import /dev/null"],
    "history": ["history", "history --patch"],
    "diff": ["diff"],
    "when": ["when 27"],
    "check": ["check 19 32", "check 27 --markdown {folder}/x.md"],
    "next": ["next"],
    "hint": ["hint 19"],
    "solve": ["solve 19 --dry-run"],
    "tick": ["tick", "tick 6 understood", "tick 6 --remove"],
    "trace": ["trace"],
    "logbook": ["logbook"],
    "advance": ["advance nosuch"],
    "drill": ["drill list", "drill report", "drill lint"],
    "evidence": ["evidence vm2"],
    "submit": ["submit {folder}/x.tar.gz"],
    "review": ["review {folder}/x.tar.gz"],
    "replay": ["replay {folder}/nosuch.tar.gz"],
    "class": [
        "class init {folder}/ops",
        *(f"class {name} -c {{folder}}/ops" for name in ("lint", "status", "grade", "plan --simulate")),
    ],
    "swarm": ["swarm nodes"],
    "doctor": ["doctor"],
    "render": ["render {folder}/x"],
    "bench": [],
    "images": ["images list"],
    "lab": ["lab list", "lab lint"],
}


def in_a_terminal(
    *arguments: str, environ: dict[str, str] | None = None, columns: int | None = None
) -> tuple[str, int]:
    """What a command shows in a terminal, and its exit code."""
    command = shlex.join([sys.executable, "-m", "labenv", *arguments])
    size = (24, columns) if columns else None
    shown: Any = pexpect.run(
        command, env=environ or dict(os.environ), timeout=120, withexitstatus=True, dimensions=size
    )
    return shown[0].decode(), shown[1]


def test_plain_output_has_no_signs_colours_or_drawings_in_a_terminal(
    cli: Cli, finished: dict[str, Any], tmp_path: Path
) -> None:
    assert CALLS.keys() == {name for chapter in CHAPTERS.values() for name in chapter}
    settings = {"LABENV_PLAIN": "1", "LABENV_STUDENT": finished["student"], "TERM": "xterm", "FORCE_COLOR": "1"}
    kept = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    for call in [*itertools.chain(*CALLS.values()), *(f"{name} --help" for name in CALLS if not CALLS[name])]:
        words = call.format(student=finished["student"], folder=tmp_path).split()
        screen, _ = in_a_terminal(*words, environ=kept | settings)
        assert screen or call in ("exec vm2 -- true", "diff", "history --patch"), call
        assert not re.search(r"[^\t\r\n -~]", screen), f"{call}: {screen!r}"
    option = cli("check", "19", "--plain", "-s", finished["student"]).stdout
    assert re.search(r"^passes +19 ", option, re.MULTILINE), option


def test_a_short_command_in_a_terminal_ends_as_it_ended(finished: dict[str, Any]) -> None:
    for _ in range(5):
        ended = in_a_terminal("exec", "-s", finished["student"], "vm2", "--", "sh", "-c", "echo hi; exit 7")
        assert ended == ("hi\r\n", 7)


# Commands that report, for a narrow terminal; the first ones for a usual one too.
REPORTS = [
    *("status", "saves", "history", "check", "trace", "tick", "evidence vm2", "doctor", "images list", "client"),
    *("--help", "logs vm3 -n 20", "diff", "when 17", "when 99", "next", "hint 19", "solve 19 --dry-run", "logbook"),
    *("drill list", "drill report --all", "lab list", "review {folder}/x.tar.gz", "down --dry-run", "up {student}"),
]


def test_no_line_is_longer_than_the_terminal_and_no_address_is_broken(
    cli: Cli, finished: dict[str, Any], tmp_path: Path
) -> None:
    student = finished["student"]
    cli.inside(student, "vm2", "echo hi | mail -s narrow root")
    cli("save", "a-name-of-a-save-that-is-long", "-s", student)
    kept = {n: v for n, v in os.environ.items() if n not in ("COLUMNS", "NO_COLOR", "LABENV_PLAIN")}
    kept |= {"LABENV_STUDENT": student, "TERM": "xterm", "PAGER": "cat"}
    whole = {name for m in finished["machines"] for name in (m["address"], m["container"])}
    whole |= {
        f"{student}.ops",
        "/etc/postfix/main.cf",
        "/root/logbook.md",
        "a-name-of-a-save-that-is-long",
        "--dry-run",
    }

    def unfit(call: str, columns: int) -> list[str]:
        words = call.format(student=student, folder=tmp_path).split()
        screen, _ = in_a_terminal(*words, environ=kept, columns=columns)
        lines = [line.rpartition("\r")[2] for line in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen).split("\r\n")]
        found = [line for line in lines if cell_len(line) > columns and len(line.split()) > 1 and "~]# " not in line]
        for line, after in itertools.pairwise(lines):
            [last, *_], [first, *_] = line.split()[-1:] or [""], after.split()[:1] or [""]
            found += [
                f"{line} / {after}" for name in whole if name in last + first and name not in last and name not in first
            ]
        return [f"labenv {call} at {columns}: {line!r}" for line in found]

    assert not unfit("submit {folder}/x.tar.gz", 60)
    with ThreadPoolExecutor(2) as pool:
        calls = [(call, 60) for call in REPORTS] + [(call, 80) for call in REPORTS[:5]]
        assert not list(itertools.chain(*pool.map(unfit, *zip(*calls, strict=True))))
    cli("saves", "--remove", "a-name-of-a-save-that-is-long", "-s", student)
