"""The certificate authorities that requests to services trust."""

import os
import ssl
from functools import cache


@cache
def tls_context() -> ssl.SSLContext:
    """Return a context that trusts the same authorities as the REST client.

    Raises OSError if REQUESTS_CA_BUNDLE names something else.
    """
    # Many workers never need this import.
    from requests.utils import DEFAULT_CA_BUNDLE_PATH

    authorities = os.environ.get("REQUESTS_CA_BUNDLE") or DEFAULT_CA_BUNDLE_PATH
    folder = os.path.isdir(authorities)
    try:
        context = ssl.create_default_context(
            cafile=None if folder else authorities, capath=authorities if folder else None
        )
    except OSError as error:
        why = "it contains no certificate" if isinstance(error, ssl.SSLError) else error.strerror
        raise OSError(f"REQUESTS_CA_BUNDLE, {authorities}, cannot be used: {why}") from None
    context.set_alpn_protocols(["http/1.1"])
    return context
