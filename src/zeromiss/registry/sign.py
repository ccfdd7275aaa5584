"""`zeromiss sign`: put a signature on a registered version that was found intact."""

import base64
from pathlib import Path

from zeromiss.registry.reference import resolve
from zeromiss.registry.signature import TAG, private_key, signed_text
from zeromiss.registry.store import model_name
from zeromiss.registry.stored import open_store
from zeromiss.registry.verified import verify
from zeromiss.workspace import Workspace


def sign(reference: str, workspace: Workspace, key_file: Path) -> str:
    """Sign the version that `reference` names with a private key (PEM) and return its name in words.

    Raises ZeromissError where the key is no Ed25519 key or others may read it, and where the version is not as registered.
    """
    key = private_key(key_file, workspace)
    product, version = resolve(reference, workspace)
    with open_store(workspace) as store:
        stored = verify(store, product, version, workspace, signed=False)
        text = base64.b64encode(key.sign(signed_text(stored))).decode()
        store.client.set_model_version_tag(model_name(product), version, TAG, text)
    return stored.name
