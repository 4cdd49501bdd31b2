"""What the files of a submission show, if the results in it are true.

Only what all right ways of doing a step have in common is asked for, so that right work gets no note.
"""

import re
from collections.abc import Callable, Iterator

from labenv.classroom.handins.claims import Files, may_let_in

_HTTPD = "etc/httpd/conf/httpd.conf"
_SAVED = "etc/sysconfig/iptables"
_PAGES = "var/www/html"
_WEBMAIL = f"{_PAGES}/webmail/config/config.inc.php"
_REDIRECTS = re.compile(r"^-A .*--dports? \S*\b(80|http)\b.*-j (DNAT|REDIRECT)", re.MULTILINE)
_MARKED = r"\$config\['(?:db_dsnw|imap_host|default_host|smtp_host|smtp_server|mail_domain)'\]"


def contradictions(files: Files, passing: set[str]) -> Iterator[str]:
    """A sentence for each claim that the files contradict. `passing` are the steps that are said to pass."""
    for step, (test, wanted) in _CLAIMS.items():
        if step in passing and not test(files):
            yield f"check.json says that step {step} passes, but {wanted}"
    yield from _evidence(files)


def _settings_of_the_server(files: Files) -> str:
    """What the web server reads, without comments."""
    return re.sub(r"^\s*#.*", "", "\n".join(files.below("vm1", "etc/httpd")), flags=re.MULTILINE)


def _has_the_first_page(files: Files) -> bool:
    roots = re.findall(r'^\s*DocumentRoot\s+"?([^"\s]+?)/?"?\s*$', _settings_of_the_server(files), re.MULTILINE)
    if set(roots) != {f"/{_PAGES}"}:
        return True  # the page may be in a folder that is not handed in
    page = files.text("vm1", f"{_PAGES}/index.html").casefold()
    return f"web page on vm1.{files.domain} and the current time is" in page


def _limits_private(files: Files) -> bool:
    """Whether a section is about the folder, or a file .htaccess in it may be."""
    said = _settings_of_the_server(files)
    return bool(re.search(r"private|^\s*AllowOverride\s+(?!None\b)\S", said, re.MULTILINE | re.IGNORECASE))


def _connects(files: Files) -> bool:
    return any(re.search(r"mysqli|PDO|include|require", page) for page in files.below("vm1", f"{_PAGES}/private"))


def _sets(files: Files, *names: str) -> bool:
    """Whether Roundcube's settings have one of the names, or come from a file that is not handed in."""
    text = files.text("vm1", _WEBMAIL)
    return any(name in text for name in (*names, "include", "require"))


# For each step: what the files need if it passes, and the note if that is missing.
_CLAIMS: dict[str, tuple[Callable[[Files], object], str]] = {
    "5": (lambda f: may_let_in(f.text("vm1", _SAVED), 80), "the saved firewall of vm1 lets nobody connect to port 80"),
    "8": (_has_the_first_page, "index.html of vm1 does not have the sentence of the sheet with the student's domain"),
    "22": (_limits_private, "no file of the web server says who may see the folder private"),
    "23": (
        lambda f: not _REDIRECTS.search(f.text("host", _SAVED)),
        "the saved firewall of host redirects requests for pages",
    ),
    "30": (_limits_private, "no file of the web server says who may see the folder private"),
    "33": (_connects, "no page in private connects to a database"),
    "43": (
        lambda f: _sets(f, "imap_host", "default_host") and _sets(f, "smtp_host", "smtp_server"),
        "config.inc.php does not name the servers of the webmail",
    ),
    "44": (lambda f: _sets(f, "db_dsnw"), "config.inc.php names no database"),
    "48": (
        lambda f: _sets(f, "smtp_user") and _sets(f, "smtp_pass"),
        "config.inc.php does not set smtp_user and smtp_pass",
    ),
}


def _evidence(files: Files) -> Iterator[str]:
    """Whether the evidence quotes the webmail's settings as they are in the archive, and comes from the student's machines."""
    for machine in ("host", "vm1"):
        text = files.evidence(machine)
        if text and f"\n{machine}.{files.domain}\n" not in text:
            yield f"evidence of {machine} does not show the host name {machine}.{files.domain}"
    lines = re.findall(rf"^{_MARKED}.*$", files.text("vm1", _WEBMAIL), re.MULTILINE)
    quoted = {line.strip() for line in files.evidence("vm1").splitlines()}
    if missing := [line for line in lines if line.strip() not in quoted]:
        yield f"evidence of vm1 does not contain the line '{missing[0][:80]}' of its config.inc.php"
