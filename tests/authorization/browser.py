"""A person at a browser: opens an address, logs in and says yes, or no, to what is asked at each page."""

import urllib.error
import urllib.parse
import urllib.request
from html.parser import HTMLParser
from http.cookiejar import CookieJar

from checks import Wrong

PATIENCE_S = 15
# Pages and redirects on the way; a server that wants more never has enough.
STEPS = 20
# What a person puts into the fields of a page; any name and password are right.
TYPED = {"login": "ada", "password": "of a test"}


class _Form(HTMLParser):
    """The first form of a page, with what its fields have from the start."""

    def __init__(self, page):
        super().__init__()
        self.action, self.fields = None, {}
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if tag == "form" and self.action is None:
            self.action = attributes["action"]
        elif tag == "input" and "name" in attributes:
            self.fields[attributes["name"]] = attributes.get("value", "")


class _Still(urllib.request.HTTPRedirectHandler):
    """Leaves redirects to whoever asks: the last one leads away from the authorization server."""

    def redirect_request(self, *_):
        return None


class Browser:
    """With `refuse` it says no where it is asked for consent."""

    def __init__(self, refuse=False):
        self._refuse = refuse
        cookies = urllib.request.HTTPCookieProcessor(CookieJar())
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), cookies, _Still())

    def follow(self, address, end):
        """Does what the pages ask for until one leads to an address that begins like this: that, unopened."""
        form = None
        for _ in range(STEPS):
            if address.startswith(end):
                return address
            answer, page = self._open(address, form)
            if location := answer.headers.get("Location"):
                address, form = urllib.parse.urljoin(address, location), None
                continue
            address, form = self._next(answer, page)
        raise Wrong(f"the pages lead on for ever, at last to {address}")

    def page(self, address):
        """What a page says."""
        return self._open(address)[1]

    def _next(self, answer, page):
        found = _Form(page)
        if answer.status != 200 or found.action is None:
            raise Wrong(f"HTTP {answer.status}, and a page without a form: {page[:300]}")
        if self._refuse and found.fields["prompt"] == "consent":
            return f"{found.action}/abort", None
        typed = {name: TYPED.get(name, value) for name, value in found.fields.items()}
        return found.action, urllib.parse.urlencode(typed).encode()

    def _open(self, address, form=None):
        try:
            answer = self._opener.open(address, form, PATIENCE_S)
        except urllib.error.HTTPError as error:
            # Redirects come this way as well.
            answer = error
        with answer:
            return answer, answer.read().decode()
