"""An image is built from what git keeps, and from nothing that happened to it on this computer."""

import tarfile
from pathlib import Path

from labenv.engine.image_sources import context, digest


def test_a_umask_and_an_empty_folder_make_no_other_image(tmp_path: Path) -> None:
    folders = tmp_path / "one", tmp_path / "other"
    for folder in folders:
        (folder / "root/etc").mkdir(parents=True)
        (folder / "Dockerfile").write_text("ARG BASE=labenv/base\nFROM ${BASE}\n")
        (folder / "root/etc/motd").write_text("hello\n")
        (folder / "root/etc/motd.sh").symlink_to("motd")
    (folders[1] / "root/etc/motd").chmod(0o600)
    (folders[1] / "root/var").mkdir()
    # Nobody is asked to trust what is in these (labenv.lab.trust).
    for name in ("__pycache__", ".git"):
        (folders[1] / "root" / name).mkdir()
        (folders[1] / "root" / name / "made").write_text("by a program\n")
    assert digest(folders[0], "below") == digest(folders[1], "below")
    members = []
    for folder in folders:
        with tarfile.open(fileobj=context(folder)) as archive:
            members.append([(entry.name, entry.mode, entry.uid) for entry in archive])
    assert members[0] == members[1]
    assert ("root/etc/motd", 0o644, 0) in members[0]
