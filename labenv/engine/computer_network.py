"""Commands with the network of the engine's computer, run by a container of labenv's own image that ends with them.

Whoever may use an engine may do that: root or not, on this computer or another, one way for all.
"""

from collections.abc import Sequence

from labenv.engine import Engine
from labenv.engine.errors import refusals
from labenv.engine.labels import LABEL
from labenv.text import decoded


def said(engine: Engine, student_id: str, image: str, script: str, arguments: Sequence[str], doing: str) -> str:
    """What a shell script says there, on both outputs; it may change the network and nothing else. Raises EngineError if none can run."""
    api = engine.api
    settings = engine.settings(
        network_mode="host",
        cap_drop=["ALL"],
        cap_add=["NET_ADMIN"],
        read_only=True,
        auto_remove=True,
        security_opt=["no-new-privileges"],
        userns_mode="host" if engine.facts.userns else None,
    )
    with refusals(doing):
        # The label has it removed with the environment, if labenv is killed right now.
        made = api.create_container(
            image,
            entrypoint=["sh", "-c", f"exec 2>&1\n{script}"],  # on one pipe, in the order in which it was said
            command=list(arguments),
            labels={LABEL: student_id},
            host_config=settings,
            use_config_proxy=False,
        )["Id"]
        output = api.attach(made, stream=True)
        api.start(made)
        return decoded(b"".join(output)).strip()
