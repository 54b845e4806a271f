"""Whom Java trusts when it fetches jars: the certificate authorities of the machine.

A packaged Java brings a list of its own, which lacks what a company's proxy signs with. pip and uv
go by the machine's list; so shall Ivy.
"""

from __future__ import annotations

import os
import ssl
import threading
import warnings
from pathlib import Path

from cryptography.hazmat.primitives.serialization import NoEncryption
from cryptography.hazmat.primitives.serialization.pkcs12 import (
    PKCS12Certificate,
    serialize_java_truststore,
)
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509 import load_pem_x509_certificates

BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Arch
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",  # SUSE
)


_QUIET = threading.Lock()
"""Sets of jars are fetched side by side; what warnings are shown is the whole process's."""


def java_options(folder: Path) -> list[str]:
    """Options that let Java trust the machine's authorities, by a file made in ``folder``.

    Empty where the machine has no list: Java then goes by its own.
    """
    bundle = _bundle()
    if bundle is None:
        return []
    with _QUIET, warnings.catch_warnings():
        # An old authority of every list has a serial number that later rules forbid.
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        certificates = load_pem_x509_certificates(bundle.read_bytes())
    entries = [PKCS12Certificate(one, str(i).encode()) for i, one in enumerate(certificates)]
    store = folder / "truststore.p12"
    store.write_bytes(serialize_java_truststore(entries, NoEncryption()))
    trust = "-Djavax.net.ssl.trustStore"
    return [f"{trust}={store}", f"{trust}Type=PKCS12", f"{trust}Password="]


def _bundle() -> Path | None:
    named = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile
    for path in filter(None, [named, *BUNDLES]):
        if Path(path).is_file():
            return Path(path)
    return None
