"""Files that lie beside images and are none: one list for sources, inboxes and inspections.

Each has a reason by which it is counted. Whatever is not in these lists is an image, or is refused: a picture that nobody looks at
would be a defect that is missed.
"""

from collections.abc import Sequence

SYSTEM, HIDDEN, BESIDE = "kept by an operating system or a disk", "hidden", "text, tables and documents"
_FOLDERS = frozenset(
    {
        "@eadir", "@tmp", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", ".snapshot",  # disks of a network
        "$recycle.bin", "recycler", "recycled", "system volume information", "found.000",  # Windows
        "__macosx", ".trashes", ".spotlight-v100", ".fseventsd", ".temporaryitems", ".appledouble", ".documentrevisions-v100",  # macOS
        "lost+found", ".trash", ".thumbnails", ".xvpics",  # Linux
        "__pycache__", ".git", ".dvc", ".ipynb_checkpoints", ".svn",  # programs
    }
)  # fmt: skip
_FILES = frozenset({"thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "autorun.inf", ".ds_store", ".localized", "icon\r", "dropbox.ini", "picasa.ini", ".picasa.ini"})
_PREFIXES = ("._", "~$", ".~lock.", ".nfs", ".fuse_hidden", "fseventsd-uuid")  # of names
_SUFFIXES = frozenset(
    {
        ".txt", ".md", ".rst", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".log", ".html", ".htm", ".pdf",
        ".doc", ".docx", ".xls", ".xlsx", ".ppt", ".pptx", ".odt", ".ods", ".db", ".parquet", ".py", ".ipynb", ".md5", ".sha256", ".dvc", ".lnk", ".url",
    }
)  # fmt: skip
_NAMES = frozenset({"readme", "license", "licence", "copying", "authors", "citation", "changelog", "notice", "md5sums", "sha256sums"})


def reason_to_pass_over(parts: Sequence[str]) -> str:
    """Return why a file is no image, by its folders and name below the place that is listed; '' for one that has to be looked at."""
    *folders, name = (part.casefold() for part in parts)
    if any(folder in _FOLDERS for folder in folders) or name in _FILES or name.startswith(_PREFIXES):
        return SYSTEM
    if any(part.startswith(".") and part not in (".", "..") for part in (*folders, name)):
        return HIDDEN
    return BESIDE if _suffix(name) in _SUFFIXES or name in _NAMES else ""


def is_passed_over(folder: str) -> bool:
    """Return whether all files of a folder of this name are passed over."""
    return folder.casefold() in _FOLDERS or folder.startswith(".")


def _suffix(name: str) -> str:
    """Return the ending of a name with its dot, '' where there is none."""
    stem, dot, ending = name.rpartition(".")
    return f".{ending}" if stem and dot else ""
