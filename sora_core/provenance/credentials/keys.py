"""Who signs: the user's certificate and key, or a pair made on this machine.

They are looked for in this order:

1. the files that the environment names in SORA_C2PA_CERTIFICATE and SORA_C2PA_KEY;
2. `certificate.pem` and `key.pem` in `config_folder()`;
3. `self-made.pem` there, which is made at the first signature. Anybody can make such a pair, so it proves that a file
   has not changed since, not who made it. Every verifier calls it untrusted.

A certificate file holds the signer's certificate and after it those that lead to its root. C2PA asks of the signer's:
X.509 v3, no CA, key usage "digital signature", an extended key usage such as e-mail protection, and a key that is
ECDSA (P-256, P-384, P-521), Ed25519, or RSA of 2048 bits and more (C2PA 2.2, section 14.5).
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import SoraError, expect
from ...files import ensure_writable, read_regular, written_beside

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes

CERTIFICATE, KEY = "SORA_C2PA_CERTIFICATE", "SORA_C2PA_KEY"
SELF_MADE = "Sora Nodes, self-made on this machine"
# Without a time stamp from an authority, a signature counts only as long as its certificate is valid.
SELF_MADE_YEARS = 20
_MOST_BYTES = 1 << 20  # of a certificate or key file


@dataclass(frozen=True)
class Signer:
    """What signs."""

    certificates: bytes  # PEM: the signer's, and after it those that lead to its root
    key: bytes = field(repr=False)  # PEM, PKCS #8, without a password
    algorithm: str  # C2PA's name of how the key signs, such as "es256"
    name: str  # organisation, or else the common name, of the certificate
    self_made: bool = False  # on this machine
    exposed: Path | None = None  # the key's file, if others than its owner can read it


def config_folder() -> Path:
    """Return the user's folder for keys: XDG_CONFIG_HOME/sora, on Windows APPDATA/Sora."""
    if sys.platform == "win32" and "XDG_CONFIG_HOME" not in os.environ:
        return Path(os.environ.get("APPDATA", Path.home() / "AppData/Roaming")) / "Sora"
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "sora"


def load_signer() -> Signer:
    """Return the signer in force. The machine's own pair is made if there is none.

    Raises SoraError for a certificate without a key or the other way round, one that is expired, is not yet valid or
    may not sign content, a key that belongs to another certificate, and a folder that cannot be written.
    """
    given = user_pair()
    if given is not None:
        return read_signer(*given)
    pair = config_folder() / "self-made.pem"
    if not os.path.lexists(pair):  # a link whose target is away is a pair that cannot be read
        make_pair(pair)
    try:
        return read_signer(pair, pair, self_made=True)
    except SoraError as error:
        raise SoraError(f"{error} Delete {pair}, and another pair is made.") from error


def known_chain() -> tuple[str, str] | None:
    """Return the number of the certificate of who signs here, and those above it (PEM); None where nobody signs yet."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    pair = user_pair()
    path = config_folder() / "self-made.pem" if pair is None else pair[0]
    if not path.is_file():
        return None
    try:
        leaf, *above = x509.load_pem_x509_certificates(_read(path, "certificate")[0])
    except ValueError:
        return None
    return str(leaf.serial_number), "".join(each.public_bytes(Encoding.PEM).decode() for each in above)


def user_pair() -> tuple[Path, Path] | None:
    """Return the files of the user's certificate and key, None if there are none.

    Raises SoraError if the environment names only one of them.
    """
    named = {name: os.environ.get(name, "") for name in (CERTIFICATE, KEY)}
    if any(named.values()):
        lacking = [name for name, value in named.items() if not value]
        expect(not lacking, f"{' '.join(lacking)} is not set: name both files, the certificate's and its key's.")
        return Path(named[CERTIFICATE]), Path(named[KEY])
    certificate, key = config_folder() / "certificate.pem", config_folder() / "key.pem"
    # A link whose target is away counts: whoever set it up counts on it.
    return (certificate, key) if any(map(os.path.lexists, (certificate, key))) else None


def read_signer(certificate: Path, key: Path, *, self_made: bool = False) -> Signer:
    """Read a signer from two PEM files, or one that holds both. Raises SoraError as `load_signer`."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.x509.oid import ExtensionOID, NameOID

    # Each is read once, and its rights are those of what was read.
    (chain_text, _), (key_text, about_key) = _read(certificate, "certificate"), _read(key, "key")
    try:
        chain = x509.load_pem_x509_certificates(chain_text)
    except ValueError as error:
        raise SoraError(f"{certificate} holds no certificate in PEM format ({error}).") from error
    try:
        private = serialization.load_pem_private_key(_key_block(key_text), None)
    except TypeError as error:
        raise SoraError(f"The key {key} is locked with a password: give one that is not.") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SoraError(f"{key} holds no private key in PEM format.") from error
    # All that C2PA would refuse later, after the work, is refused here.
    leaf, now = chain[0], datetime.now(UTC)
    expect(
        _spki(leaf.public_key()) == _spki(private.public_key()),
        f"The key {key} does not belong to the certificate {certificate}: use the pair's own key, and put the signer's "
        "certificate first.",
    )
    until, since = leaf.not_valid_after_utc, leaf.not_valid_before_utc
    expect(now <= until, f"The certificate {certificate} expired on {until:%Y-%m-%d}: use a renewed one.")
    expect(now >= since, f"The certificate {certificate} is valid from {since:%Y-%m-%d} on, not yet.")
    names = leaf.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    names = names or leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    algorithm = _algorithm(private, key)
    try:
        leaf.extensions.get_extension_for_oid(ExtensionOID.EXTENDED_KEY_USAGE)
    except x509.ExtensionNotFound as error:
        raise SoraError(
            f"The certificate {certificate} may not sign content: it has no extended key usage. C2PA needs one such as "
            "e-mail protection or document signing."
        ) from error
    return Signer(
        b"".join(each.public_bytes(serialization.Encoding.PEM) for each in chain),
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
        algorithm,
        str(names[0].value) if names else leaf.subject.rfc4514_string(),
        self_made,
        key if _is_open(about_key) else None,
    )


def make_pair(path: Path) -> None:
    """Write a new key and its certificate into the one file `path`, readable by its owner only.

    The certificate is issued by a root of its own, because C2PA takes no certificate that signed itself. The root's
    key is thrown away, so nothing else can be signed with it: whoever trusts it (`sora verify --trust`) trusts this
    pair alone. Names hold nothing about the user or the machine.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = _certificate("root", root_key.public_key(), root_key, authority=True)
    leaf = _certificate("signer", key.public_key(), root_key, authority=False)
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_secret(path, secret + leaf.public_bytes(pem) + root.public_bytes(pem))


def _certificate(
    name: str, public: EllipticCurvePublicKey, root_key: EllipticCurvePrivateKey, *, authority: bool
) -> x509.Certificate:
    """Issue a certificate for `public` in the name of "root", with what C2PA asks of it (section 14.5)."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID

    start = datetime.now(UTC) - timedelta(minutes=5)  # clocks differ
    usage = x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    draft = (
        x509.CertificateBuilder()
        .subject_name(_distinguished(name))
        .issuer_name(_distinguished("root"))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=round(365.25 * SELF_MADE_YEARS)))
        .add_extension(x509.BasicConstraints(authority, 0 if authority else None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
    )
    if not authority:
        draft = draft.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    return draft.sign(root_key, hashes.SHA256())


def _distinguished(name: str) -> x509.Name:
    """Return a distinguished name of the machine's own pair."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, SELF_MADE), x509.NameAttribute(NameOID.COMMON_NAME, name)]
    )


def write_secret(path: Path, data: bytes) -> None:
    """Write `path`, whole or not at all, readable by its owner only from the first byte on."""
    ensure_writable(path.parent)
    path.parent.chmod(0o700)
    with written_beside(path) as part:
        # Made with its rights: a file that is written and locked afterwards can be read in between.
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)


def _read(path: Path, what: str) -> tuple[bytes, os.stat_result]:
    """Return what a file holds, and its rights. Raises SoraError for what is no file that can be read."""
    try:
        return read_regular(path, _MOST_BYTES)
    except FileNotFoundError as error:
        raise SoraError(f"There is no {what} file {str(path)!r}: check the name.") from error
    except OSError as error:
        raise SoraError(f"The {what} file {path} cannot be read ({error.strerror}): check its rights.") from error


def is_exposed(key: Path) -> bool:
    """Tell whether others than its owner can read a key's file. Windows has other rights, which are not looked at."""
    return _is_open(key.stat())


def _is_open(about: os.stat_result) -> bool:
    return sys.platform != "win32" and bool(about.st_mode & 0o077)


def _key_block(pem: bytes) -> bytes:
    """Return the private key of a PEM file that may hold certificates and EC parameters, too."""
    for block in pem.split(b"-----BEGIN ")[1:]:
        if block.split(b"-----", 1)[0].endswith(b"PRIVATE KEY"):
            return b"-----BEGIN " + block
    return pem


def _spki(public: PublicKeyTypes) -> bytes:
    """Return a public key as bytes that can be compared (SubjectPublicKeyInfo, DER)."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _algorithm(private: PrivateKeyTypes, path: Path) -> str:
    """Return C2PA's name of how `private` signs. Raises SoraError for kinds that it does not allow."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    curves = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
    if isinstance(private, ec.EllipticCurvePrivateKey) and private.curve.name in curves:
        return curves[private.curve.name]
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(private, rsa.RSAPrivateKey) and private.key_size >= 2048:
        return "ps256"
    raise SoraError(
        f"The key {path} is of a kind that C2PA does not allow: use ECDSA (P-256, P-384, P-521), Ed25519, or RSA of "
        "2048 bits and more."
    )
