"""The names that a swarm's parts share: services, secrets, labels, settings."""

PORT = 23764  # where the keeper listens
LARGEST = 200_000_000  # bytes of a copy that the keeper takes: four machines that have changed a lot
SECRETS = "/run/secrets"
# The secrets of the swarm, by their files in a container.
CERTIFICATE, KEY, TOKEN, PLACE = "labenv-certificate", "labenv-key", "labenv-token", "labenv-place"
# Environment variables of the services.
KEEPER, KEEPER_PORT, PLACES, WORK, EVERY = (
    "LABENV_KEEPER",
    "LABENV_KEEPER_PORT",
    "LABENV_PLACES",
    "LABENV_SUPERVISE",
    "LABENV_PUSH_EVERY",
)
NODE, NODE_NAME = "LABENV_NODE", "LABENV_NODE_NAME"
# When the shell of a supervisor started, and when it was its turn (seconds since 1970; supervise.sh).
STARTED, TURN_CAME = "LABENV_STARTED", "LABENV_TURN"
# The parts of how long an environment took to come up, in its lease.
TURN, START, ASKED, UP = "wait for a turn", "start of the supervisor", "answer of the keeper", "up"
KEEPER_SERVICE, WARDEN_SERVICE = "labenv-keeper", "labenv-warden"
SUPERVISED = "labenv.supervised"  # on a supervisor: the student
OF_CLASS = "labenv.class"
GRACE = 120  # seconds that a supervisor has for its last push
MIRROR_EVERY = 30.0  # seconds between two looks for what a further place lacks
HAS = "labenv.has-"  # on a node, before a hash: that it has just those images
PUSHED = "pushed"  # the name of the save that the newest push is


def supervisor(student_id: str) -> str:
    """The name of the service of a student."""
    return f"labenv-supervisor-{student_id}"
