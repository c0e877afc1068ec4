"""BMCs for tests, as processes of their own, and the certificates that they show."""

import ipaddress
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import bcrypt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

USERNAME = "fence-account"
PASSWORD = "horse battery"
REPOSITORY = Path(__file__).parents[2]


class Authority:
    """A certificate authority of the test's own; `ca` is its certificate's file."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        authority = self._builder(self._name, self._key.public_key()).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        usage = x509.KeyUsage(
            digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
            key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        self.ca = self._write("ca.pem", authority.add_extension(usage, critical=True))

    def issue(self, address: str, *, shifted: timedelta = timedelta(0)) -> tuple[Path, Path]:
        """Certificate and key of a server at that address. Valid from yesterday to tomorrow, and so much later."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bmc")])
        who = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        file = f"{address}{shifted.days or ''}"
        builder = self._builder(name, key.public_key(), shifted).add_extension(who, False)
        certificate = self._write(f"{file}.pem", builder)
        path = self._directory / f"{file}.key"
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return certificate, path

    def _builder(
        self, name: x509.Name, key: ec.EllipticCurvePublicKey, shifted: timedelta = timedelta(0)
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC) + shifted
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(self._name).public_key(key)
        builder = builder.serial_number(x509.random_serial_number())
        return builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=2))

    def _write(self, name: str, builder: x509.CertificateBuilder) -> Path:
        path = self._directory / name
        path.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))
        return path


@contextmanager
def redfish_bmc(root: Path, certificate: tuple[Path, Path], *names: str) -> Iterator[int]:
    """The port of a Redfish service whose systems are these machines."""
    accounts = root / "htpasswd"
    accounts.write_text(f"{USERNAME}:{bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()}\n")
    with _server(root, "tests.support.redfish_bmc", *map(str, [root, *certificate, accounts, *names])) as port:
        yield port


@contextmanager
def ipmi_bmc(root: Path, name: str) -> Iterator[int]:
    """The UDP port of the machine's BMC."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with _server(root, "tests.support.ipmi_bmc", str(root), name, str(port), USERNAME, PASSWORD) as port:
        yield port


@contextmanager
def _server(root: Path, module: str, *arguments: str) -> Iterator[int]:
    with (root / f"{module}.log").open("wb") as log:
        command = [sys.executable, "-m", module, *arguments]
        server = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        assert line, (root / f"{module}.log").read_text()
        yield int(line)
    finally:
        server.kill()
        server.wait()
