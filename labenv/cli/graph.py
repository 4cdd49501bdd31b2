"""The graph command."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli import common, fold, output, screen
from labenv.cli.common import JsonOption, StudentOption
from labenv.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.text import Text

    from labenv.graph.record import Graph, Node


class Form(StrEnum):
    """The forms of the graph."""

    text = "text"
    mermaid = "mermaid"
    dot = "dot"
    svg = "svg"


_SUFFIXES = {
    ".txt": Form.text,
    ".mmd": Form.mermaid,
    ".mermaid": Form.mermaid,
    ".dot": Form.dot,
    ".gv": Form.dot,
    ".svg": Form.svg,
}


def graph(
    student: StudentOption = None,
    form: Annotated[
        Form | None,
        typer.Option(
            "--format", help="For a terminal, Mermaid, Graphviz, or a drawing. Default: by FILE's name, or text."
        ),
    ] = None,
    write: Annotated[
        Path | None, typer.Option("--write", metavar="FILE", help="Write it to a file: .svg, .mmd, .dot, .gv or .txt.")
    ] = None,
    no_probe: Annotated[bool, typer.Option("--no-probe", help="Do not measure who reaches whom.")] = False,
    json: JsonOption = False,
) -> None:
    """Show the environment as a graph: machines, services, firewalls, who reaches whom, where mail goes.

    Who reaches whom is measured: a packet goes from each machine to the TCP ports of each other one. No connection is made, so no
    server logs it. The MX is what the name server answers; relayhost is what postconf says; the message is the latest, traced.

    Examples:

      labenv graph

      labenv graph --write network.svg

      labenv graph --format mermaid
    """
    from labenv.graph.look import look

    if json and (form or write):
        raise UsageError("--json cannot be combined with --format and --write: it is another form of the graph.")
    wanted = form or _form_of(write)
    with screen.progress(quiet=True) as listen:
        engine = common.open_engine(listen)
        found = look(engine, common.chosen(engine, student), probe=not no_probe)
    if json:
        common.print_json(found.to_dict())
    elif write:
        common.write_text(write, _written(found, wanted))
    elif wanted is Form.text:
        _show(found)
    else:
        output.document(_written(found, wanted))


def _form_of(file: Path | None) -> Form:
    """The form that a file's name says. Raises UsageError if it says none."""
    if not file:
        return Form.text
    if file.suffix.lower() not in _SUFFIXES:
        known = ", ".join(_SUFFIXES)
        raise UsageError(f"{file} does not say which form it is to have. Let its name end in {known}, or use --format.")
    return _SUFFIXES[file.suffix.lower()]


def _written(found: "Graph", form: Form) -> str:
    from labenv.graph import dot, drawing, mermaid

    match form:
        case Form.mermaid:
            return mermaid.written(found)
        case Form.dot:
            return dot.written(found)
        case Form.svg:
            return drawing.as_file(found)
    return "".join(f"{'  ' * depth}{line.plain}\n" for depth, line in _lines(found))


def _show(found: "Graph") -> None:
    """Print it: as a tree in a terminal, with indented lines elsewhere and for a screen reader."""
    from rich.console import Console
    from rich.tree import Tree

    columns = fold.width()
    out = Console(highlight=False, width=columns or 10_000, soft_wrap=not columns)
    if not sys.stdout.isatty():
        for depth, line in _lines(found):
            out.print("  " * depth, line, sep="")
        return
    branches: list[Tree] = []
    for depth, line in _lines(found):
        if not depth:
            branches = [Tree(line, guide_style="dim")]
            continue
        del branches[depth:]
        branches.append(branches[-1].add(line))
    out.print(branches[0])


def _lines(found: "Graph") -> "Iterator[tuple[int, Text]]":
    """The lines of the tree, each with its depth."""
    from rich.text import Text

    yield 0, Text.assemble((found.domain, "bold"), f"  {found.lab} at {found.stage}  {found.subnet}")
    for node in found.nodes:
        state = "" if node.runs else f"  ✗ {node.state}"
        yield 1, Text.assemble((node.name, "bold"), f"  {', '.join(node.addresses)}", (state, "red"))
        for line in _of_machine(node):
            yield 2, line
    for one in found.mx:
        yield 1, Text(f"MX {one.preference} is {one.name}, {_which(one.machine)}, says {' and '.join(one.servers)}")
    if message := found.message:
        yield 1, Text(f"the last message: {found.fate}", "green" if message.delivered else "red")
    for note in found.notes:
        yield 1, Text(note, "yellow")


def _of_machine(node: "Node") -> "Iterator[Text]":
    from rich.text import Text

    wide = max((fold.size(door.who) for door in node.doors), default=0)
    for door in node.doors:
        line = Text(f"{door.port:<5} {door.who}{' ' * (wide - fold.size(door.who) if door.told else 0)}")
        for place, (words, is_open) in enumerate(door.told):
            line.append("; " if place else "  ")
            line.append(words, "green" if is_open else "red" if door.program and not door.is_local else "dim")
        yield line
    for name, how in node.down:
        yield Text(f"✗ {name} is {how}", "red")
    if node.firewall:
        yield Text(f"firewall {node.firewall}", "dim")
    if node.relay:
        yield Text(f"relayhost {node.relay}, {_which(node.relays_to)}")


def _which(machine: str) -> str:
    """Whether a name is one of the lab's machines, in words."""
    return f"which is {machine}" if machine else "no machine of this lab"
