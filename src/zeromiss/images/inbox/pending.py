"""What an ingest has begun and not yet told: written before raw data change, dropped when all is committed and told.

A run that is killed in between leaves it to the next one, which commits and tells both together.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from zeromiss.files import read_json, write_json
from zeromiss.images.inbox.quarantine import Row
from zeromiss.images.words import counted
from zeromiss.workspace import Workspace

SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Pending:
    """Inboxes, images by SHA-256 with their kind (good, or the defect's), and the reasons of files put into quarantine."""

    file: Path
    inboxes: tuple[str, ...] = ()
    images: dict[str, str] = field(default_factory=dict)
    quarantined: dict[str, str] = field(default_factory=dict)

    def with_more(self, inbox: str, images: dict[str, str], refused: Iterable[Row]) -> "Pending":
        """Return this and what another look at an inbox found, written to the disk."""
        inboxes = self.inboxes if inbox in self.inboxes else (*self.inboxes, inbox)
        more = replace(self, inboxes=inboxes, images=self.images | images, quarantined=self.quarantined | {row.name: row.reason for row in refused})
        payload = {"inboxes": list(more.inboxes), "images": more.images, "quarantined": more.quarantined}
        write_json(self.file, payload, schema_version=SCHEMA_VERSION)
        return more

    def arrived(self, there: Iterable[str]) -> "Pending":
        """Return this without images that never came: `there` are the SHA-256 of the raw images."""
        found = set(there)
        return replace(self, images={sha256: kind for sha256, kind in self.images.items() if sha256 in found})

    def kinds(self) -> dict[str, int]:
        """Return how many images came of each kind, good ones first."""
        counts = Counter(self.images.values())
        return dict(sorted(counts.items(), key=lambda item: (item[0] != "good", item[0])))

    def message(self, product: str, *, normals: int, defects: int) -> str:
        """Return the message of the commit that holds these images."""
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.kinds().items())
        head = f"Ingest {product}: {counted(len(self.images), 'image')} ({kinds})" if self.images else f"Version the raw images of {product}"
        lines = [head, "", *(f"From {inbox}" for inbox in self.inboxes)]
        if self.quarantined:
            lines.append(f"Put into quarantine: {counted(len(self.quarantined), 'file')}")
        return "\n".join([*lines, f"Raw data now: {normals} normal and {defects} defective", ""])

    def payload(self) -> dict[str, Any]:
        """Return what an event says of it."""
        return {"images": len(self.images), "kinds": self.kinds(), "quarantined": len(self.quarantined), "inboxes": list(self.inboxes)}

    def drop(self) -> None:
        """Forget it: all has been told."""
        self.file.unlink(missing_ok=True)


def load(workspace: Workspace, product: str) -> Pending:
    """Return what is pending for a product, nothing where nothing is."""
    file = workspace.root / ".zeromiss" / f"{product}.pending.json"
    if not file.is_file():
        return Pending(file=file)
    found = read_json(file, schema_version=SCHEMA_VERSION)
    return Pending(file=file, inboxes=tuple(found["inboxes"]), images=found["images"], quarantined=found["quarantined"])
