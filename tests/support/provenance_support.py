"""Clips that are saved with credentials, and certificates to sign them with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import torch

from sora_core.media.write import write_video
from sora_core.provenance import History, plan

SECRET = "a cat moving right on a beach"


def clip(frames: int = 6, seed: int = 0) -> torch.Tensor:
    noise = torch.rand(frames, 3, 6, 8, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(noise, (48, 64), mode="bicubic").clamp(0, 1).movedim(1, -1)


def save(path: Path, history: History | None = None, frames: torch.Tensor | None = None, **choices) -> Path:
    saving = plan(History() if history is None else history, **choices)
    write_video(path, clip() if frames is None else frames, 8, metadata={"prompt": "{}"}, saving=saving)
    return path


def issue(folder: Path, *, days: tuple[int, int] = (-1, 30), purpose: bool = True, sign_key=None) -> tuple[Path, Path]:
    """A user's certificate (with its root) and key, as PEM files."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    root_key, key = (ec.generate_private_key(ec.SECP384R1()) for _ in range(2))
    start, end = (datetime.now(UTC) + timedelta(days=n) for n in days)

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, text)])

    def build(subject: str, public, authority: bool):
        flags = dict.fromkeys(
            (
                "content_commitment",
                "key_encipherment",
                "data_encipherment",
                "key_agreement",
                "encipher_only",
                "decipher_only",
                "crl_sign",
            ),
            False,
        )
        made = (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(name("Root of Studio"))
            .public_key(public)
            .serial_number(7)
            .not_valid_before(start)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(authority, None), True)
            .add_extension(x509.KeyUsage(digital_signature=not authority, key_cert_sign=authority, **flags), True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), False)
        )
        if purpose and not authority:
            made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
        return made.sign(root_key, hashes.SHA384()).public_bytes(serialization.Encoding.PEM)

    folder.mkdir(exist_ok=True)
    certificate, secret = folder / "mine.pem", folder / "mine.key"
    chain = build("Studio", key.public_key(), False), build("Root of Studio", root_key.public_key(), True)
    certificate.write_bytes(b"".join(chain))
    pem = (serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    secret.write_bytes((sign_key or key).private_bytes(*pem))
    return certificate, secret
