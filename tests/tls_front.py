"""TLS for servers of tests: a certificate authority of our own, and a front that terminates TLS.

The Valkey of the tests has no TLS built in. Like managed services, a front decrypts each connection
and forwards it.
"""

import select
import shutil
import socket
import ssl
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest


class Authority:
    """A CA, and a certificate for 127.0.0.1 that it has signed. The files are in `folder`."""

    def __init__(self, folder: Path) -> None:
        if not shutil.which("openssl"):
            pytest.skip("openssl makes the certificates")
        self.bundle, self._chain = folder / "ca.pem", folder / "server.pem"
        new, days = ["openssl", "req", "-newkey", "rsa:2048", "-nodes"], ["-days", "2"]
        ca_key, request = folder / "ca.key", folder / "server.csr"
        extensions = folder / "extensions"
        extensions.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        sign = ["openssl", "x509", "-req", *days, "-in", request, "-CA", self.bundle]
        sign += ["-CAkey", ca_key, "-CAcreateserial"]
        for command in (
            [*new, "-x509", *days, "-subj", "/CN=own-ca", "-keyout", ca_key, "-out", self.bundle],
            [*new, "-subj", "/CN=server", "-keyout", self._chain, "-out", request],
            [*sign, "-extfile", extensions, "-out", folder / "server.crt"],
        ):
            subprocess.run([str(each) for each in command], check=True, capture_output=True)
        with self._chain.open("a") as chain:
            chain.write((folder / "server.crt").read_text())

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._chain)
        return context


class TlsFront:
    """Listens with TLS on a free port of `host`, and forwards each connection to `port`."""

    def __init__(self, context: ssl.SSLContext, port: int, host: str = "127.0.0.1") -> None:
        self._context, self._target = context, port
        self._listener = socket.create_server((host, 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client:
            secure = self._context.wrap_socket(client, server_side=True)
            secure.setblocking(False)
            with secure, socket.create_connection(("127.0.0.1", self._target)) as server:
                _relay(secure, server)


def _relay(secure: ssl.SSLSocket, server: socket.socket) -> None:
    """Forward bytes in both directions until one side ends.

    One thread does both, because an SSLSocket may not be read and written at the same time.
    """
    while True:
        if not secure.pending():
            select.select([secure, server], [], [])
        with suppress(ssl.SSLWantReadError):
            data = secure.recv(65536)
            if not data:
                return
            server.sendall(data)
        if select.select([server], [], [], 0)[0]:
            data = server.recv(65536)
            if not data:
                return
            secure.setblocking(True)
            secure.sendall(data)
            secure.setblocking(False)
