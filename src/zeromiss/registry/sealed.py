"""The champion as a server wants it: asked for again and again, opened only where every file is as it was sealed."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zeromiss.errors import ZeromissError
from zeromiss.inspection.inspector import Inspector
from zeromiss.registry.audit_files import check_bundle, check_model, check_summary
from zeromiss.registry.facts import NONE
from zeromiss.registry.publish import BUNDLE_TAG, CHAMPION, find_alias
from zeromiss.registry.store import model_name, reading
from zeromiss.registry.stored import Store, Stored, read_version
from zeromiss.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True, kw_only=True)
class Sealed:
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
        self.client: MlflowClient = reading(workspace)

    def version(self) -> str | None:
        """Return the version that bears the alias, None where none does.

        Raises ZeromissError when the registry does not answer.
        """
        from mlflow.exceptions import MlflowException

        try:
            return find_alias(self.client, self.product, CHAMPION)
        except MlflowException as error:
            raise ZeromissError(f"the registry does not answer ({_line(error)}): see to its server or database") from None

    def open(self, version: str) -> Sealed:
        """Compare a version's files with their seals, load it, and judge a grey image with it.

        Raises ZeromissError naming the first file that is not as it was sealed, or what else keeps it from judging.
        """
        from mlflow.exceptions import MlflowException

        with tempfile.TemporaryDirectory(prefix="zeromiss-") as folder:
            try:
                stored = read_version(Store(client=self.client, folder=Path(folder)), self.product, version)
            except MlflowException as error:
                raise ZeromissError(f"{model_name(self.product)} version {version} cannot be read from the registry ({_line(error)})") from None
            _refuse_broken(stored)
            inspector = Inspector.load(stored.bundle, model_name=model_name(self.product), model_version=version)
        inspector.warm_up()
        return Sealed(
            inspector=inspector,
            name=model_name(self.product),
            version=version,
            run=stored.run_id,
            commit=stored.tags.get("git.commit", NONE),
        )


def _refuse_broken(stored: Stored) -> None:
    """Raise ZeromissError naming the first file that is not what was written down when the version was registered."""
    checks = (check_bundle(stored.bundle, stored.tags.get(BUNDLE_TAG)), check_model(stored), check_summary(stored, None))
    for check in checks:
        for finding in check.findings:
            raise ZeromissError(f"{stored.name} is not as it was sealed: {finding.sentence}; see zeromiss audit {stored.product}/{stored.version}")


def _line(error: Exception) -> str:
    """Return what an exception says on one line."""
    return " ".join(str(error).split())
