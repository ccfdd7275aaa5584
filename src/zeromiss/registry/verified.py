"""The one way to open a registered version: whoever judges with it gets it verified, or a sentence why not.

Compared are every file with its checksum, the lists of checksums with the version's tags, the threshold with its tag, the
place of the files with the store's, and the signature where one is required. Nothing is written to the store.
"""

import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zeromiss.errors import ZeromissError
from zeromiss.inspection.inspector import Inspector
from zeromiss.registry.audit_files import check_bundle, check_model, check_place, check_summary, check_threshold
from zeromiss.registry.champion import find_champion
from zeromiss.registry.facts import NONE
from zeromiss.registry.publish import BUNDLE_TAG, CHAMPION, find_alias
from zeromiss.registry.seal import MODEL, tag
from zeromiss.registry.signature import refuse_unsigned
from zeromiss.registry.store import model_name, reading
from zeromiss.registry.stored import Store, Stored, open_store, read_version
from zeromiss.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient

RECORDED = (BUNDLE_TAG, tag(MODEL), "threshold.value")  # tags without which nothing can be compared


@dataclass(frozen=True, kw_only=True)
class VerifiedModel:
    """A registered version that was found intact, loaded, and where it comes from."""

    inspector: Inspector
    name: str  # of the registered model
    version: str
    run: str  # the MLflow run that registered it
    commit: str  # the git commit it was made at; `none` where there was none


class Champions:
    """Asks one product's registry which version is champion, and opens it. Reads only; for one thread at a time."""

    def __init__(self, product: str, workspace: Workspace) -> None:
        """Open the store for reading. Raises ZeromissError where there is none."""
        self.product = product
        self.workspace = workspace
        self.client: MlflowClient = reading(workspace)

    def version(self) -> str | None:
        """Return the champion's version, None where there is none.

        Raises ZeromissError when the registry does not answer, or when the alias contradicts the log of decisions.
        """
        from mlflow.exceptions import MlflowException

        try:
            return find_champion(self.client, self.product, self.workspace)
        except MlflowException as error:
            raise ZeromissError(f"the registry does not answer ({_line(error)}): see to its server or database") from None

    def open(self, version: str) -> VerifiedModel:
        """Verify a version, load it, and judge a grey image with it.

        Raises ZeromissError naming the first file that is not as it was registered, or what else keeps it from judging.
        """
        opened = load_verified(self.client, self.product, version, self.workspace)
        opened.inspector.warm_up()
        return opened


def load_inspector(product: str, workspace: Workspace, *, alias: str | None = None, version: str | None = None) -> Inspector:
    """Verify and load a registered model, named by its alias or version.

    Raises ZeromissError when there is no such model, or when anything of it is not as it was registered.
    """
    client = reading(workspace)
    alias = alias or CHAMPION
    found = version or (find_champion(client, product, workspace) if alias == CHAMPION else find_alias(client, product, alias))
    if found is None:
        raise ZeromissError(f"{model_name(product)} has no {alias}: train it with zeromiss run {product}")
    return load_verified(client, product, found, workspace).inspector


def load_verified(client: "MlflowClient", product: str, version: str, workspace: Workspace) -> VerifiedModel:
    """Verify a version and load it; what was fetched from a server goes away with its inspector.

    Raises ZeromissError naming the first thing that is not as it was registered.
    """
    folder = Path(tempfile.mkdtemp(prefix="zeromiss-"))
    try:
        stored = verify(Store(client=client, folder=folder), product, version, workspace)
        inspector = Inspector.load(stored.bundle, model_name=model_name(product), model_version=version)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    if any(folder.iterdir()):  # a reference picture is read when an image is judged
        weakref.finalize(inspector, shutil.rmtree, folder, ignore_errors=True)
    else:
        folder.rmdir()
    return VerifiedModel(
        inspector=inspector, name=model_name(product), version=version, run=stored.run_id, commit=stored.tags.get("git.commit", NONE)
    )


@contextmanager
def verified_bundle(product: str, version: str, workspace: Workspace) -> Iterator[Path]:
    """Yield the folder of a verified version's bundle; raises ZeromissError as `load_verified` does."""
    with open_store(workspace) as store:
        yield verify(store, product, version, workspace).bundle


def verify(store: Store, product: str, version: str, workspace: Workspace, *, signed: bool = True) -> Stored:
    """Return what is stored of a version; raise ZeromissError naming the first thing that is not as it was registered.

    `signed`: where a public key is named, the version must be signed.
    """
    from mlflow.exceptions import MlflowException

    try:
        stored = read_version(store, product, version)
    except MlflowException as error:
        raise ZeromissError(f"{model_name(product)} version {version} cannot be fetched from the registry ({_line(error)}): register it anew") from None
    for finding in check_place(stored, workspace).findings:
        raise not_as_registered(stored, finding.sentence)
    verify_files(stored)
    if signed:
        refuse_unsigned(stored, workspace)
    return stored


def verify_fetched(name: str, version: str, bundle: Path) -> None:
    """Compare a model that MLflow fetched from its registry with what that registry recorded; the place of its files is MLflow's.

    Raises ZeromissError as `verify` does.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    product, model = name.removeprefix(model_name("")), next(folder for folder in bundle.parents if (folder / "MLmodel").is_file())
    with tempfile.TemporaryDirectory(prefix="zeromiss-") as folder:
        try:
            stored = read_version(Store(client=mlflow.MlflowClient(), folder=Path(folder)), product, version, model=model)
        except MlflowException as error:
            raise ZeromissError(f"{name} version {version} cannot be compared with the registry ({_line(error)}): it is not opened") from None
        verify_files(stored)
        refuse_unsigned(stored, None)


def verify_files(stored: Stored) -> None:
    """Compare the files of a version with what was recorded when it was registered.

    Raises ZeromissError naming the first thing that differs.
    """
    missing = [name for name in RECORDED if name not in stored.tags]
    if missing:
        raise not_as_registered(stored, f"its tag {missing[0]} is missing, so that nothing vouches for its files")
    checks = (check_bundle(stored.bundle, stored.tags[BUNDLE_TAG]), check_model(stored), check_summary(stored, None), check_threshold(stored))
    for check in checks:
        for finding in check.findings:
            raise not_as_registered(stored, finding.sentence)


def not_as_registered(stored: Stored, what: str) -> ZeromissError:
    """Return the error that says what of a version is not as it was registered."""
    return ZeromissError(f"{stored.name} is not as it was registered: {what}; see zeromiss audit {stored.product}/{stored.version}")


def _line(error: Exception) -> str:
    """Return what an exception says on one line."""
    return " ".join(str(error).split())
