"""DVC's remote on the S3 server, named in the repository's own local settings, which git does not keep."""

from pathlib import Path

from tasks.services.settings import Settings

NAME = "services"


def set_remote(root: Path, settings: Settings) -> str:
    """Name the remote in `.dvc/config.local` of a repository and return what was done.

    It becomes the default where no other is; a folder without DVC stays as it is.
    """
    if not (root / ".dvc" / "config").is_file():
        return f"{root} has no DVC, so that no remote was named there"
    from dvc.config import Config

    known = settings.environment()
    remote = {
        "url": "s3://dvc",
        "endpointurl": known["AWS_ENDPOINT_URL"],
        "region": known["AWS_DEFAULT_REGION"],
        "access_key_id": known["AWS_ACCESS_KEY_ID"],
        "secret_access_key": known["AWS_SECRET_ACCESS_KEY"],
    }
    config = Config(str(root / ".dvc"))
    local = config.read("local")
    default = config.get("core", {}).get("remote")
    if local.get("remote", {}).get(NAME) == remote and default:
        return f"DVC's remote {NAME} is as it was"
    with config.edit("local") as edited:
        edited.setdefault("remote", {})[NAME] = remote
        if not default:
            edited.setdefault("core", {})["remote"] = NAME
    (root / ".dvc" / "config.local").chmod(0o600)  # it has the key
    return f"DVC's remote {NAME} is named in {root / '.dvc/config.local'}" + ("" if default in (None, NAME) else f" (the default stays {default})")
