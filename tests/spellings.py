"""The spellings in which services repeat a secret."""

import base64
import html
import json
import quopri
from collections.abc import Callable
from urllib.parse import quote


def spellings(secret: str) -> dict[str, str]:
    """Return the spellings of a secret by services, by name."""
    data = secret.encode()

    def entities(form: str) -> str:
        return "".join(form.format(ord(char)) for char in secret)

    def in_base64(before: int, encode: Callable[[bytes], bytes] = base64.b64encode) -> str:
        return encode(b"user:"[:before] + data + b":more").decode()

    return {
        "plain": secret,
        "upper case": secret.upper(),
        "JSON": json.dumps(secret),
        "JSON of PHP": json.dumps(secret).replace("/", "\\/"),
        "JSON of Go": json.dumps(secret).replace("&", "\\u0026").replace("<", "\\u003c"),
        "JSON of .NET": json.dumps(secret).replace("+", "\\u002B").replace("'", "\\u0027"),
        "JSON, all escaped": "".join(f"\\u{ord(char):04x}" for char in secret),
        "JSON in JSON": json.dumps(json.dumps(secret)),
        "JavaScript": "".join(f"\\x{ord(char):02X}" for char in secret),
        "JavaScript, code points": "".join(f"\\u{{{ord(char):x}}}" for char in secret),
        "escape()": "".join(f"%u{ord(char):04x}" for char in secret),
        "HTML": html.escape(secret),
        "HTML of Django": html.escape(secret).replace("&#x27;", "&#39;"),
        "HTML of XML": html.escape(secret).replace("&#x27;", "&apos;").replace("&quot;", "&#34;"),
        "HTML, decimal": entities("&#{};"),
        "HTML, hex": entities("&#x{:X};"),
        "HTML, padded": entities("&#x{:08x};"),
        "HTML twice": html.escape(html.escape(secret)),
        "URL": quote(secret, safe=""),
        "URL, lower case": quote(secret, safe="").lower(),
        "URL, mixed": quote(secret, safe="+&'").replace("%2F", "%2f"),
        "URL, all": "".join(f"%{byte:02x}" for byte in data),
        "URL twice": quote(quote(secret, safe=""), safe=""),
        "URL in HTML": html.escape(quote(secret, safe="&'")),
        "base64": in_base64(0),
        "base64 of user and secret": in_base64(5),
        "base64, shifted": in_base64(4),
        "base64, shifted again": in_base64(3),
        "base64 for URLs": in_base64(5, base64.urlsafe_b64encode).rstrip("="),
        "base64 in lines": "\n".join(in_base64(5)[at : at + 8] for at in range(0, 48, 8)),
        "base64 in JSON": json.dumps(in_base64(5)).replace("/", "\\/"),
        "base64 in a URL": quote(in_base64(5), safe=""),
        "base64 of the URL": base64.b64encode(b"k=" + quote(secret, safe="").encode()).decode(),
        "base64 of JSON": base64.b64encode(json.dumps({"k": secret}).encode()).decode(),
        "SQL": secret.replace("'", "''"),
        "CSV": secret.replace('"', '""'),
        "shell": secret.replace("'", "'\\''"),
        "an array": json.dumps(list(secret)),
        "zero-width spaces": "\u200b".join(secret),
        "hex with colons": data.hex(":").upper(),
        "hex": data.hex(),
        "HEX": data.hex().upper(),
        "quoted-printable": quopri.encodestring(data).decode(),
        "quoted-printable, all": "".join(f"={byte:02X}" for byte in data),
        "full width": "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in secret),
    }
