"""How runs of the checks know of each other in a machine: what one leaves behind there is not taken for another's."""

# What tells other runs that this one goes on in a machine: the number of the shell that all its commands there have as parent.
ENTER = "mkdir -p /run/labenv-checks; : >/run/labenv-checks/$$"
# "alone" if no other run goes on there.
ALONE = (
    "$(for run in /run/labenv-checks/*; do [ ${run##*/} = $$ ] || ! grep -qs ^/labenv-tools/ /proc/${run##*/}/cmdline || exit; "
    "done; echo alone)"
)
