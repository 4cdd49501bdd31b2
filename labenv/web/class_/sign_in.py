"""The page where a student of a class signs in: a form, without the rest of the page's machinery."""

from pathlib import Path

import jinja2
from starlette.responses import HTMLResponse

from labenv.classroom.folder.model import Class
from labenv.reports.pages import LOOK

FILES = {
    f"/{file.name}": file
    for file in (LOOK, *(Path(__file__).with_name(name) for name in ("sign-in.css", "sign-in.js")))
}
_POLICY = "default-src 'none'; style-src 'self'; script-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
_PAGE = jinja2.Environment(loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True)


def page(of: Class, sentence: str, status: int, student: str, *, oidc: bool) -> HTMLResponse:
    """The form, with what is wrong with the last try, and a link to the school's own sign-in if there is one."""
    text = _PAGE.get_template("sign-in.html").render(of=of, sentence=sentence, student=student, oidc=oidc)
    return HTMLResponse(text, status, headers={"cache-control": "no-store", "content-security-policy": _POLICY})
