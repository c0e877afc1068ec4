"""A certificate authority for a day, and what it signs: every host's daemon, and one client."""

from pathlib import Path

from tests.libvirt.lab.shell import run

CLIENT = "client"


def make_certificates(directory: Path, hosts: dict[str, str]) -> None:
    """NAME.crt and NAME.key for every host, and directories for `pkipath`: `good` knows all, `anonymous` has no client
    certificate, `stranger` trusts another authority."""
    directory.mkdir(parents=True)
    _authority(directory, "ca")
    _authority(directory, "other")
    for name, address in hosts.items():
        _certificate(directory, name, f"IP:{address}")
    _certificate(directory, CLIENT, "DNS:evacuate")
    for name, authority, known in (("good", "ca", True), ("anonymous", "ca", False), ("stranger", "other", True)):
        _client(directory, name, authority, known=known)


def _authority(directory: Path, name: str) -> None:
    key, certificate = str(directory / f"{name}.key"), str(directory / f"{name}.crt")
    extensions = ["-addext", "basicConstraints=critical,CA:true", "-addext", "keyUsage=keyCertSign"]
    new = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", f"/CN=lab {name}"]
    run(*new, "-keyout", key, "-out", certificate, *extensions)


def _certificate(directory: Path, name: str, alternative: str) -> None:
    at = directory / name
    extensions = at.with_suffix(".ext")
    extensions.write_text(
        f"subjectAltName={alternative}\nextendedKeyUsage=serverAuth,clientAuth\nbasicConstraints=CA:false\n"
    )
    new = ["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}"]
    run(*new, "-keyout", f"{at}.key", "-out", f"{at}.csr")
    sign = ["openssl", "x509", "-req", "-days", "1", "-CA", f"{directory}/ca.crt", "-CAkey", f"{directory}/ca.key"]
    run(*sign, "-CAcreateserial", "-in", f"{at}.csr", "-out", f"{at}.crt", "-extfile", str(extensions))


def _client(directory: Path, name: str, authority: str, *, known: bool) -> None:
    place = directory / name
    place.mkdir()
    (place / "cacert.pem").write_bytes((directory / f"{authority}.crt").read_bytes())
    if known:
        (place / "clientcert.pem").write_bytes((directory / f"{CLIENT}.crt").read_bytes())
        (place / "clientkey.pem").write_bytes((directory / f"{CLIENT}.key").read_bytes())
