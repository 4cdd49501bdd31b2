"""What a machine's ifcfg files make of its resolver: images/machine/root/usr/lib/labenv/Ifcfg.pm."""

import subprocess
from pathlib import Path

import pytest

from labenv import resources

_ASK = """\
use Ifcfg;
$Ifcfg::folder = shift;
print resolver(join('', <STDIN>), configurations());
"""
_BEFORE = "# mine\nsearch old.test\nnameserver 192.0.2.1\nnameserver 192.0.2.2\noptions timeout:1\n"


def _resolver(folder: Path, before: str = _BEFORE, **files: str) -> str:
    for name, text in files.items():
        (folder / name.replace("_", "-", 1)).write_text(text)
    where = resources.images() / "machine/root/usr/lib/labenv"
    command = ["perl", f"-I{where}", "-e", _ASK, str(folder)]
    return subprocess.run(command, input=before, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("settings", "lines"),
    [
        ("DNS1=192.0.2.9\nDOMAIN=new.test\n", "search new.test\nnameserver 192.0.2.9\n"),
        (
            "DNS1='192.0.2.9'\nDNS2=\"192.0.2.8\" # second\nSEARCH='a.test b.test'\n",
            "search a.test b.test\nnameserver 192.0.2.9\nnameserver 192.0.2.8\n",
        ),
        ("DOMAIN=new.test\nSEARCH=other.test\nDNS1=192.0.2.9\nPEERDNS=no\n", "search new.test\nnameserver 192.0.2.9\n"),
        ("DNS1=192.0.2.9\nDNS1=192.0.2.7\n", "nameserver 192.0.2.7\n"),
    ],
)
def test_name_servers_and_domain_come_from_the_file_and_other_lines_stay(
    tmp_path: Path, settings: str, lines: str
) -> None:
    assert _resolver(tmp_path, ifcfg_eth0=f"DEVICE=eth0\n{settings}") == f"# mine\n{lines}options timeout:1\n"


def test_a_file_that_names_no_server_leaves_those_that_are_there(tmp_path: Path) -> None:
    assert _resolver(tmp_path, ifcfg_eth0="DEVICE=eth0\n#DNS1=192.0.2.9\n") == _BEFORE
    after = _resolver(tmp_path, ifcfg_eth0="DEVICE=eth0\nDOMAIN=new.test\n")
    assert after == _BEFORE.replace("old.test", "new.test")
    assert _resolver(tmp_path, ifcfg_eth0="DNS1=192.0.2.9\nPEERDNS=no\nRESOLV_MODS=no\n") == _BEFORE


def test_all_interfaces_count_and_copies_of_a_file_do_not(tmp_path: Path) -> None:
    files = {"ifcfg_eth0": "DNS1=192.0.2.9\nDOMAIN=new.test\n", "ifcfg_eth1": "DNS1=192.0.2.8\nDNS2=192.0.2.9\n"}
    after = _resolver(
        tmp_path, "", **files, **{"ifcfg_eth0.bak": "DNS1=192.0.2.5\n", "ifcfg_eth0~": "DNS1=192.0.2.6\n"}
    )
    assert after == "search new.test\nnameserver 192.0.2.9\nnameserver 192.0.2.8\n"
