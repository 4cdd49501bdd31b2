"""The images commands."""

from pathlib import Path
from typing import Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.common import JsonOption
from labenv.errors import UsageError

app = typer.Typer(
    no_args_is_help=True,
    help="Build the machines' images, list them, copy them to another computer, or remove them.",
    epilog="Example: labenv images export labenv.tar.gz",
)


LabOption = Annotated[
    str | None,
    typer.Option("--lab", metavar="NAME|FOLDER", autocompletion=common.complete_lab, help="The images of this lab."),
]


@app.command()
def build(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="IMAGE", help="Only these. Default: all that the lab needs.")
    ] = None,
    lab: LabOption = None,
) -> None:
    """Build missing images: those of the default lab, or of another one. An unchanged image is never built again.

    `labenv up` builds what its lab needs. The desktop image is large; it is built only if you name it here, or by `labenv desktop`.
    The image with labenv itself, for what runs it on an engine as a container, is built if you name it: labenv.

    Examples:

      labenv images build

      labenv images build --lab ./mylab

      labenv images build desktop
    """
    from labenv.engine import image_sources, own_image
    from labenv.engine.images import Images
    from labenv.lab import labs

    chosen = labs.load(lab or labs.default())
    known = own_image.known(image_sources.of(chosen))
    which = image_sources.named(names or image_sources.needed(chosen), known)
    with screen.progress() as listen:
        built = Images(common.open_engine(listen), known).ensure(which, listen)
    print("\n".join(f"built {tag}" for tag in built) or "All images are already built.")


@app.command("list")
def list_images(json: JsonOption = False) -> None:
    """List labenv's images on the engine, including old ones.

    Two images with the same value below `packages` have the same packages in the same versions. With --json, each package
    is named with its version.

    Example:

      labenv images list --json
    """
    from labenv.engine.image_sources import usual
    from labenv.engine.images import Images
    from labenv.engine.packages import digest

    with screen.progress(quiet=True) as listen:
        images = Images(common.open_engine(listen))
        present, missing = images.present(), images.missing(usual())
        versions = images.packages(image.tag for image in present if image.current)
    digests = {tag: digest(packages) for tag, packages in versions.items()}
    if json:
        shown = [
            {**image.to_dict(), "packages": digests.get(image.tag), "versions": versions.get(image.tag)}
            for image in present
        ]
        common.print_json({"images": shown, "missing": [image.tag for image in missing]})
        return
    from labenv.cli import show

    show.images(present, missing, digests)


@app.command("packages")
def list_packages(
    name: Annotated[str, typer.Argument(metavar="IMAGE", help="An image, as labenv images list names it.")],
    json: JsonOption = False,
) -> None:
    """List the packages of an image with their versions, to compare them with those of another computer.

    Example:

      labenv images packages dovecot
    """
    from labenv.engine import own_image
    from labenv.engine.image_sources import named
    from labenv.engine.images import Images

    known = own_image.known()
    tag = known[named([name], known)[0]].tag
    with screen.progress(quiet=True) as listen:
        images = Images(common.open_engine(listen), known)
        if images.missing([name]):
            raise UsageError(f"Not built yet: {name}. Build it first: labenv images build {name}")
        versions = images.packages([tag])[tag]
    if json:
        common.print_json(versions)
        return
    print("\n".join(f"{package} {version}" for package, version in versions.items()))


@app.command()
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The bundle to write, such as labenv.tar.gz.")],
    more: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="IMAGE", help="Also include this image: desktop, labenv. Repeatable."),
    ] = None,
    lab: LabOption = None,
) -> None:
    """Write the images to one file, for a computer without a network: those of the default lab, and of another one with --lab.

    Examples:

      labenv images export labenv.tar.gz

      labenv images export labenv.tar.gz --lab mylab

      labenv images export labenv.tar.gz --with desktop
    """
    from labenv.engine import bundle, image_sources, own_image
    from labenv.engine.images import Images
    from labenv.lab import labs

    theirs = labs.load(lab) if lab else None
    known = own_image.known(image_sources.of(theirs) if theirs else None)
    which = [image_sources.wanted()[name] for name in image_sources.usual()]
    which += [
        known[name]
        for name in [*(image_sources.needed(theirs) if theirs else ()), *image_sources.named(more or (), known)]
    ]
    which = list({image.tag: image for image in which}.values())
    with screen.progress() as listen:
        size = bundle.export(Images(common.open_engine(listen)), which, file, listen)
    print(f"Wrote {file}, {size / 1e6:.0f} MB. On the other computer: labenv images import {file.name}")


@app.command("import")
def load(file: Annotated[Path, typer.Argument(metavar="FILE", help="A bundle from `labenv images export`.")]) -> None:
    """Load images from a bundle, so that `labenv up` needs no network.

    Example:

      labenv images import labenv.tar.gz
    """
    from labenv.engine import bundle
    from labenv.engine.images import Images

    with screen.progress() as listen:
        tags = bundle.load(Images(common.open_engine(listen)), file, listen)
    print("\n".join(f"loaded {tag}" for tag in tags))


@app.command()
def remove(
    old: Annotated[bool, typer.Option("--old", help="Only images of earlier versions.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be removed.")] = False,
) -> None:
    """Remove labenv's images. Refused while a machine uses one of them.

    Examples:

      labenv images remove --old

      labenv images remove --dry-run
    """
    from labenv.engine.images import Images

    with screen.progress(quiet=True) as listen:
        gone = Images(common.open_engine(listen)).remove(only_old=old, dry_run=dry_run)
    verb = "would remove" if dry_run else "removed"
    print("\n".join(f"{verb} {image.tag}" for image in gone) or "Nothing to remove.")
