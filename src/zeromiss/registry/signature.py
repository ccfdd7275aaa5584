"""Signatures of registered versions: Ed25519 over the checksums, so that who can write to the store can't replace a model unseen.

The private key lies with who releases models, the public key with who judges, outside the store. Signed are the version's
name and number and the tags that hold its checksums; these cover every file of bundle, model, source and drift reference.
"""

import base64
import binascii
import os
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from zeromiss.errors import ZeromissError
from zeromiss.registry.publish import BUNDLE_TAG
from zeromiss.registry.stored import Stored
from zeromiss.workspace import PUBLIC_KEY, Workspace

TAG = "signature.ed25519"
_HEAD = "zeromiss model signature, version 1"
_HOW = "openssl genpkey -algorithm ed25519 makes a private key, openssl pkey -pubout its public key"


def refuse_unsigned(stored: Stored, workspace: Workspace | None) -> None:
    """Raise ZeromissError where a public key is named and the version is not signed with its private key."""
    named = os.environ.get(PUBLIC_KEY)
    if not named:
        return
    key, text = _public_key(Path(named), workspace), stored.tags.get(TAG)
    if text is None:
        raise ZeromissError(f"{stored.name} is not signed, and {named} requires a signature: zeromiss sign {stored.product}/{stored.version} --key FILE")
    try:
        key.verify(base64.b64decode(text, validate=True), signed_text(stored))
    except (InvalidSignature, binascii.Error, ValueError):
        raise ZeromissError(
            f"the signature of {stored.name} does not fit {named}: another key signed it, or its checksums were changed; it is not opened"
        ) from None


def signed_text(stored: Stored) -> bytes:
    """Return what a version's signature is over: its name and number and the tags that hold checksums and threshold, sorted."""
    tags = {key: value for key, value in stored.tags.items() if key == BUNDLE_TAG or key.startswith(("seal.", "threshold."))}
    return "\n".join([_HEAD, stored.name, *(f"{key}={value}" for key, value in sorted(tags.items()))]).encode()


def private_key(path: Path, workspace: Workspace) -> Ed25519PrivateKey:
    """Read a private key that nobody else may read."""
    content = _read(path, workspace)
    if path.stat().st_mode & 0o077:
        raise ZeromissError(f"the private key {path} can be read by others: chmod 600 {path}")
    try:
        key = load_pem_private_key(content, password=None)
    except TypeError:
        raise ZeromissError(f"the private key {path} is encrypted: decrypt it with openssl pkey first") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ZeromissError(f"{path} is no private key in PEM form: {_HOW}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ZeromissError(f"{path} is no Ed25519 key: {_HOW}")
    return key


def _public_key(path: Path, workspace: Workspace | None) -> Ed25519PublicKey:
    """Read a public key."""
    try:
        key = load_pem_public_key(_read(path, workspace))
    except (ValueError, UnsupportedAlgorithm):
        raise ZeromissError(f"{path} is no public key in PEM form: {_HOW}") from None
    if not isinstance(key, Ed25519PublicKey):
        raise ZeromissError(f"{path} is no Ed25519 key: {_HOW}")
    return key


def _read(path: Path, workspace: Workspace | None) -> bytes:
    """Return a key file's content; raise ZeromissError where it lies in the store, whose writers could replace it."""
    if workspace is not None and path.resolve().is_relative_to((workspace.root / "mlruns").resolve()):
        raise ZeromissError(f"the key {path} lies in the store, whose writers could replace it: keep it elsewhere")
    try:
        return path.read_bytes()
    except OSError as error:
        raise ZeromissError(f"the key {path} cannot be read ({error.strerror}): {_HOW}") from None
