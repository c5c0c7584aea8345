"""Addresses of pages: the header Link, query parameters, and the effects of a proxy. Pure."""

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

#: One value of the header Link: the target, then its parameters (RFC 8288, section 3). The groups
#: are possessive, so that no header takes quadratic time.
_LINK = re.compile(
    r'<([^<>]*+)>((?:\s*+;\s*+[\w*!#$%&+.^`|~-]++\s*+(?:=\s*+(?:"[^"]*+"|[^\s",;]*+))?+)*+)'
)
#: One parameter. Only the first `rel` is used.
_PARAMETER = re.compile(r';\s*([^\s=;]+)(?:\s*=\s*(?:"([^"]*)"|([^\s",;]*)))?')


def find_link(header: str, relation: str) -> str | None:
    """Return the target of a relation in a Link header (RFC 8288), or None.

    Relation types are case-insensitive, and one `rel` may hold several. http.client decodes headers
    as Latin-1, but services send addresses in UTF-8.
    """
    for target, parameters in _LINK.findall(header):
        found = _PARAMETER.findall(parameters)
        relations = next((a or b for name, a, b in found if name.lower() == "rel"), "")
        if relation in relations.lower().split():
            try:
                return str(target).strip().encode("latin-1").decode()
            except UnicodeError:
                return str(target).strip()
    return None


def proxy_hint(asked: str, following: str) -> str:
    """Return a hint for a next address on another origin than the request, otherwise "".

    A service that does not know of its proxy builds addresses with its own scheme or port.
    """
    asked_parts, parts = urlsplit(urljoin(asked, "/")), urlsplit(urljoin(asked, following))
    if asked_parts[:2] == parts[:2]:
        return ""
    return (
        f"`next` leads from {asked_parts.scheme}://{asked_parts.netloc} to "
        f"{parts.scheme}://{parts.netloc}: if a proxy stands between, have it send "
        "X-Forwarded-Proto and X-Forwarded-Host, and the service heed them"
    )


def with_parameters(url: str, parameters: Mapping[str, str]) -> str:
    """Return an address whose query has these parameters, in addition to those that it had."""
    parts = urlsplit(url)
    known = parse_qsl(parts.query, keep_blank_values=True)
    query = [each for each in known if each[0] not in parameters]
    return urlunsplit(parts._replace(query=urlencode([*query, *parameters.items()])))
