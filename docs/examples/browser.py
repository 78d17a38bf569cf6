"""A person with a browser, for connect.py: an app needs none of this.

It knows the pages of the local provider and nothing of others.
"""

import re
import socket
import urllib.error
import urllib.parse
import urllib.request


class _StayHere(urllib.request.HTTPRedirectHandler):
    """Hands a redirect to whoever asked, instead of following it."""

    def redirect_request(self, *_):
        return None


_opener = urllib.request.build_opener(_StayHere)


def agree(connect_url: str, account: str) -> str:
    """Follows a connect link, agrees at the provider, and answers the address the browser is sent to."""
    away = _open(connect_url)
    # The flow's cookie: without it nobody comes back.
    cookie = away.headers["Set-Cookie"].split(";")[0]
    authorize_url = away.headers["Location"]
    page = _open(authorize_url).read().decode()
    form = {"request": _attribute(page, 'name="request" value'), "account": account, "decision": "connect"}
    decided = _open(urllib.parse.urljoin(authorize_url, _attribute(page, "action")), form)
    return _open(decided.headers["Location"], cookie=cookie).headers["Location"]


def dial_localhost() -> None:
    """Takes names under localhost to this machine (RFC 6761), as browsers do and some resolvers do not."""
    resolve = socket.getaddrinfo
    socket.getaddrinfo = lambda host, *more, **named: resolve("127.0.0.1" if str(host).endswith(".localhost") else host, *more, **named)


def _open(url: str, form: dict | None = None, cookie: str = ""):
    data = urllib.parse.urlencode(form).encode() if form else None
    request = urllib.request.Request(url, data, {"Cookie": cookie} if cookie else {})
    try:
        return _opener.open(request, timeout=30)
    except urllib.error.HTTPError as answer:
        if answer.code != 303:
            raise
        return answer


def _attribute(page: str, name: str) -> str:
    found = re.search(f'{name}="([^"]*)"', page)
    if not found:
        raise SystemExit(f"The provider's page has no {name}.")
    return found[1]
