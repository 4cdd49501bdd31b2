"""Signing in with the school's own account: OpenID Connect, by Authlib, with state, nonce and PKCE.

What the provider says of somebody is matched with the roster: who is not in it does not come in.
"""

import secrets
import time
from collections import OrderedDict
from typing import Any

from authlib.integrations.starlette_client import OAuth
from starlette.requests import Request
from starlette.responses import Response

from labenv.classroom.folder.model import Class, Member, OidcProvider
from labenv.errors import UsageError
from labenv.text import one_line

_PATIENCE = 10.0  # seconds for an answer of the provider
_TIME = 600.0  # seconds in which somebody signs in there
_MOST = 1000  # people who do so at the same time
_SHOWN = 200


class Oidc:
    """The school's sign-in. `secret` is what the provider knows this server by, `back` the page's address to which it sends browsers back."""

    def __init__(self, provider: OidcProvider, secret: str, back: str, cookie: str) -> None:
        """Ask the provider nothing yet. `cookie` is the name of the cookie by which a browser is known again that comes back."""
        self._provider = provider
        self._back = back
        self._cookie = cookie
        self._is_secure = back.startswith("https://")
        self._away: OrderedDict[str, tuple[float, dict[str, Any]]] = OrderedDict()
        self._client = OAuth().register(
            "school",
            client_id=provider.client_id,
            client_secret=secret,
            server_metadata_url=f"{provider.issuer.rstrip('/')}/.well-known/openid-configuration",
            client_kwargs={
                "scope": "openid email profile",
                "code_challenge_method": "S256",
                "timeout": _PATIENCE,
            },
        )

    async def begin(self, request: Request) -> Response:
        """Send a browser to the provider. Raises UsageError if that cannot be reached."""
        kept: dict[str, Any] = {}
        request.scope["session"] = kept
        try:
            answer: Response = await self._client.authorize_redirect(request, self._back)
        except Exception as error:  # a provider answers as it likes, and Authlib raises what its parts raise
            raise UsageError(f"{self._named} cannot be reached now: {_why(error)}. Use a one-time password.") from error
        browser = secrets.token_urlsafe(24)
        self._away[browser] = time.monotonic(), kept
        while len(self._away) > _MOST:
            self._away.popitem(last=False)
        answer.set_cookie(
            self._cookie, browser, max_age=int(_TIME), path="/", httponly=True, samesite="lax", secure=self._is_secure
        )
        answer.headers["cache-control"] = "no-store"
        return answer

    async def end(self, request: Request, of: Class) -> str:
        """The student who comes back from the provider. Raises UsageError for anybody else."""
        began, kept = self._away.pop(request.cookies.get(self._cookie, ""), (0.0, None))
        if kept is None or time.monotonic() - began > _TIME:
            raise UsageError("You did not begin to sign in here, or it took too long. Try again.")
        request.scope["session"] = kept
        wanted = {"iss": {"essential": True, "values": [self._provider.issuer]}}
        wanted |= {"aud": {"essential": True, "values": [self._provider.client_id]}}
        try:
            token = await self._client.authorize_access_token(request, claims_options=wanted)
            told = dict(token["userinfo"])
        except Exception as error:  # a provider answers as it likes, and Authlib raises what its parts raise
            raise UsageError(f"{self._named} did not let you in: {_why(error)}. Try again.") from error
        return member(of, self._provider.claim, told).id

    @property
    def _named(self) -> str:
        return self._provider.issuer


def member(of: Class, claim: str, told: dict[str, Any]) -> Member:
    """The student whom a claim of the provider names, by id or e-mail address. Raises UsageError if it is nobody's, or of several."""
    value = told.get(claim)
    if not isinstance(value, str) or not value.strip():
        raise UsageError(
            f"Your school's account has no {claim}, by which {of.name} knows its students. Tell your teacher."
        )
    if claim == "email" and told.get("email_verified") is False:
        raise UsageError("Your school has not verified that this e-mail address is yours. Tell your teacher.")
    meant = value.strip().casefold()
    found = [one for one in of.members if meant in {one.id, one.given.casefold(), one.email.casefold()}]
    if len(found) == 1:
        return found[0]
    shown = one_line(value)[:_SHOWN]
    if found:
        raise UsageError(f"{shown} is in the roster of {of.name} {len(found)} times. Tell your teacher.")
    raise UsageError(f"{shown} is not in the roster of {of.name}. Tell your teacher, or use a one-time password.")


def _why(error: Exception) -> str:
    return one_line(str(error) or type(error).__name__)[:_SHOWN].rstrip(".")
