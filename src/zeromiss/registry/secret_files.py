"""Files that look like secrets: they are never copied into a registry, where more people can read than on this machine."""

import re
from fnmatch import fnmatch
from pathlib import Path

NAMES = (
    ".env", ".env.*", "*.env", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.kdbx", "*.gpg", "*.asc", "id_rsa*", "id_dsa*",
    "id_ecdsa*", "id_ed25519*", ".netrc", "_netrc", ".pgpass", ".npmrc", ".pypirc", ".htpasswd", ".git-credentials", "credentials",
    "credentials.*", "*.credentials", "secret", "secret.*", "secrets", "secrets.*", "service-account*.json", "service_account*.json",
)  # fmt: skip
CONTENTS = {
    "a private key": re.compile(rb"-----BEGIN [A-Z0-9 ]*PRIVATE KEY( BLOCK)?-----"),
    "an access key of AWS": re.compile(rb"\b(AKIA|ASIA)[0-9A-Z]{16}\b|(?i:aws_secret_access_key)['\"]?\s*[=:]\s*['\"]?[A-Za-z0-9/+]{40}\b"),
    "a token": re.compile(rb"\b(gh[pousr]_[A-Za-z0-9]{36}|glpat-[A-Za-z0-9_-]{20}|xox[baprs]-[A-Za-z0-9-]{10,}|hf_[A-Za-z0-9]{30,})\b"),
    "a password in an address": re.compile(rb"\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@{}$<>'\"()]{1,100}:[^\s/:@{}$<>'\"()*]{1,200}@[A-Za-z0-9\[]"),
}


def looks_secret(name: str, content: bytes = b"") -> str | None:
    """Return why a file looks like a secret, by its name and content, None where it does not. Case is folded."""
    base = name.rsplit("/", 1)[-1].lower()
    pattern = next((one for one in NAMES if fnmatch(base, one)), None)
    if pattern is not None:
        return f"its name is that of a secret ({pattern})"
    return next((f"it holds {what}" for what, form in CONTENTS.items() if form.search(content)), None)


def private(path: Path) -> str | None:
    """Return why a file is for its owner alone, None where others may read it."""
    mode = path.stat().st_mode & 0o777
    return None if mode & 0o044 else f"only its owner may read it (mode {mode:o})"
