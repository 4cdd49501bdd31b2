"""What a student may run through the gate: the commands by name, and of each the options and arguments that may stand there.

Everything else is refused: no option that names a file of the server, none that names a student, none that asks for what is a
teacher's. A command line is never given to a shell.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from labenv.errors import UsageError
from labenv.text import one_line

_FLAG = None
_WORD = re.compile(r"[A-Za-z0-9<][\w.@:<>+-]{0,199}", re.ASCII)  # a step, a message id, the name of a save or a drill
_PART = re.compile(r"[A-Za-z0-9][\w.@:/+-]{0,299}", re.ASCII)  # a part of a hand-in, or MACHINE:PATH
_NUMBER = re.compile(r"[0-9]{1,6}")
_TIME = re.compile(r"[0-9]{1,3}s?|[0-9]{1,2}m")
_TEXT = re.compile(r"[^-].{0,999}", re.DOTALL)  # a sentence of the student's own
_DRILLS = ("start", "status", "diagnose", "hint", "check", "give-up")
_SHOWN = 40  # characters of what was typed


@dataclass(frozen=True)
class Command:
    """One command. `says` is its line in the menu, `options` what may stand there with the form of its value (None: a flag).

    `arguments` are the forms of the arguments, the last for all that follow up to `most`.
    """

    says: str
    options: Mapping[str, re.Pattern[str] | None] = field(default_factory=dict)
    arguments: Sequence[re.Pattern[str]] = ()
    most: int = 0
    in_menu: bool = True


_JSON: dict[str, re.Pattern[str] | None] = {"--json": _FLAG}
COMMANDS: dict[str, Command] = {
    "status": Command("your machines, their addresses and your password", _JSON),
    "check": Command(
        "which steps hold, and why the next does not",
        {**_JSON, "--all": _FLAG, "--watch": _FLAG, "--after-reboot": _FLAG},
        (_WORD,),
        20,
    ),
    "next": Command("what to do next", _JSON),
    "hint": Command("a hint: hint, or hint 17", {**_JSON, "--level": _NUMBER}, (_WORD,), 1),
    "trace": Command("the path of a message: trace, or trace ID", {**_JSON, "--no-pager": _FLAG}, (_WORD,), 1),
    "capture": Command(
        "what passes a machine on the network: capture MACHINE",
        {**_JSON, "--port": _NUMBER, "--all": _FLAG, "--text": _FLAG, "--for": _TIME},
        (_WORD,),
        1,
        in_menu=False,
    ),
    "graph": Command(
        "who reaches whom, as measured, and where mail goes",
        {**_JSON, "--format": re.compile("text|mermaid|dot|svg"), "--no-probe": _FLAG},
        in_menu=False,
    ),
    "tick": Command(
        "steps that only you can judge: tick STEP what I saw",
        {**_JSON, "--remove": _FLAG},
        (_WORD, _TEXT),
        60,
    ),
    "logbook": Command("your log book; logbook --edit opens it in nano", {**_JSON, "--edit": _FLAG, "-e": _FLAG}),
    "drill": Command(
        f"find a fault: drill {', '.join(_DRILLS[:3])}, ...",
        {**_JSON, "--level": _NUMBER, "--seed": _WORD, "--random": _FLAG, "--yes": _FLAG, "-y": _FLAG},
        (re.compile("|".join(_DRILLS)), _WORD),
        2,
    ),
    "save": Command("keep the state of your machines: save NAME", _JSON, (_WORD,), 1),
    "saves": Command(
        "your saves; saves --remove NAME", {**_JSON, "--remove": _WORD, "--dry-run": _FLAG, "--yes": _FLAG, "-y": _FLAG}
    ),
    "restore": Command("go back to a save: restore NAME", _JSON, (_WORD,), 1),
    "reboot": Command(
        "reboot a machine: reboot MACHINE, or reboot --all", {"--all": _FLAG, "--hard": _FLAG}, (_WORD,), 1
    ),
    "advance": Command(
        "go on to the next lab of your class with your own machines",
        {**_JSON, "--anyway": _FLAG, "--yes": _FLAG, "-y": _FLAG},
        (_WORD,),
        1,
        in_menu=False,
    ),
    "submit": Command("hand in; submit --dry-run only lists", {**_JSON, "--without": _PART, "--dry-run": _FLAG}),
}
# What the gate itself does, and other words for it.
OWN: dict[str, str] = {
    "shell": "a root shell in a machine: shell MACHINE",
    "start": "start your machines, or make them",
    "stop": "stop your machines; your work is kept",
    "key": "your SSH keys: key, key add ssh-ed25519 AAAA..., key remove 1",
    "exit": "leave; what still runs goes on",
}
SAME = {"quit": "exit", "logout": "exit", "bye": "exit", "up": "start", "?": "help", "menu": "help", "exec": "shell"}
# The commands of labenv that are not for students.
_OTHERS = """
    logs serve desktop client tunnel impair down reset export import history diff when solve evidence review replay class swarm doctor render bench images lab
"""
NOT_HERE = frozenset(_OTHERS.split())
_NEEDS = {"restore": "restore needs the name of a save: restore NAME. `saves` lists them."}
_TEACHERS = {
    "-s": "You work in your own environment here, so no student is named.",
    "--student": "You work in your own environment here, so no student is named.",
    "--export": "Files go over scp: scp -P PORT YOU@SERVER:logbook.md .",
    "--import": "Files go over scp: scp -P PORT logbook.md YOU@SERVER:",
}


def words(line: str) -> list[str]:
    """What was typed, as words; `labenv` before it may be left out. Raises UsageError for quotes that do not end."""
    try:
        found = shlex.split(line)
    except ValueError as error:
        raise UsageError("A quote is not closed. Type it again.") from error
    return found[1:] if found[:1] == ["labenv"] else found


def is_offered(typed: Sequence[str]) -> bool:
    """Whether a student can run a command that a sentence of labenv's names: there is the command, and each of its options.

    What else the sentence says is not looked at, such as NAME for a name.
    """
    name, *rest = typed
    name = SAME.get(name, name)
    if name not in COMMANDS:
        return name in OWN and not any(word.startswith("--") for word in _options(rest))
    command = COMMANDS[name]
    mine = {"-s", "--student", *command.options}
    is_one = name != "drill" or not rest or rest[0] in _DRILLS
    return is_one and all(word.partition("=")[0] in mine for word in _options(rest))


def _options(words: Sequence[str]) -> list[str]:
    until = words.index("--") if "--" in words else len(words)
    return [word for word in words[:until] if word.startswith("-")]


def allowed(typed: Sequence[str], student: str) -> list[str]:
    """The arguments for labenv of a command that a student typed. Raises UsageError for one that is not among those above.

    Options come first, then `--`, so that no argument can be taken for an option.
    """
    name, *rest = typed
    if name in NOT_HERE:
        raise UsageError(f"{name} is not in your menu. Ask your teacher, or type help to see what there is.")
    if name not in COMMANDS:
        raise UsageError(f"There is no command {_said(name)} here. Type help to see what there is.")
    command = COMMANDS[name]
    options, arguments = _parted(name, command, _without_self(rest, student))
    options = ["-s", student, *options]
    if len(arguments) > command.most:
        most = f"at most {command.most} words" if command.most > 1 else "one word" if command.most else "nothing"
        raise UsageError(f"After {name} {most} can stand, not: {_said(' '.join(arguments))}.")
    for number, argument in enumerate(arguments):
        form = command.arguments[min(number, len(command.arguments) - 1)]
        if not form.fullmatch(argument):
            raise UsageError(f"{_said(argument)} cannot stand after {name}.{_of_drill(name, number)}")
    if name in _NEEDS and not arguments:
        raise UsageError(_NEEDS[name])
    if name == "drill":  # a group: its command comes before the options
        return [
            name,
            arguments[0] if arguments else "status",
            *options,
            *(["--", *arguments[1:]] if arguments[1:] else ()),
        ]
    return [name, *options, *(["--", *arguments] if arguments else ())]


def _without_self(rest: Sequence[str], student: str) -> list[str]:
    """The words without `-s` and the student's own id, with which labenv's own sentences name commands."""
    words = list(rest)
    for option in ("-s", "--student"):
        while option in words[:-1] and words[words.index(option) + 1] == student:
            at = words.index(option)
            del words[at : at + 2]
    return words


def _parted(name: str, command: Command, rest: Sequence[str]) -> tuple[list[str], list[str]]:
    options: list[str] = []
    arguments: list[str] = []
    ahead = list(rest)
    while ahead:
        word = ahead.pop(0)
        if word == "--":
            return options, [*arguments, *ahead]
        if not word.startswith("-") or len(word) == 1:
            arguments.append(word)
            continue
        option, joined, value = word.partition("=")
        if option not in command.options:
            raise UsageError(_TEACHERS.get(option) or f"{name} has no option {_said(option)} here.")
        form = command.options[option]
        options.append(option)
        if form is None:
            if joined:
                raise UsageError(f"{option} takes no value.")
            continue
        value = value if joined else (ahead.pop(0) if ahead else "")
        if not form.fullmatch(value):
            raise UsageError(f"{option} needs a value, and {_said(value) or 'nothing'} is none.")
        options.append(value)
    return options, arguments


def _of_drill(name: str, number: int) -> str:
    return f" Its commands are: {', '.join(_DRILLS)}." if name == "drill" and number == 0 else ""


def _said(text: str) -> str:
    line = one_line(text)
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 1]}…"
