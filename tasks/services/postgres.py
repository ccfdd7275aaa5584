"""PostgreSQL with a cluster of its own, beside any that the machine runs already."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from tasks.services.part import Part
from tasks.services.settings import HOST, Settings
from zeromiss.errors import ZeromissError

DATABASES = ("prefect", "mlflow")
_PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin")
_PROGRAMS = ("initdb", "postgres")


def postgres(settings: Settings) -> Part:
    """Return the part; its data are in `postgres/` of the folder, owned by whom it runs as."""
    data = settings.folder / "postgres"
    user = unprivileged()
    listen = ["-h", HOST, "-p", str(settings.ports["postgres"]), "-c", "unix_socket_directories="]
    return Part(
        name="postgres", folder=settings.folder, port=settings.ports["postgres"], user=user, polite=signal.SIGINT,
        command=lambda: [str(find_programs(_major(data)) / "postgres"), "-D", str(data), *listen], environment={**os.environ, "LC_ALL": "C.UTF-8"},
        before=lambda: _make_cluster(data, user, settings.secrets["postgres"]),
        answers=_asker(settings), after=lambda: _make_databases(settings),
    )  # fmt: skip


def find_programs(major: str | None, places: tuple[str, ...] = _PLACES) -> Path:
    """Return the folder with PostgreSQL's programs: those of `major` (as in "15"), or the newest there are.

    Raises ZeromissError when there are none.
    """
    found = [path for path in (_by_pg_config(), _by_path()) if path]
    found += [path for place in places for path in sorted(Path("/").glob(place.lstrip("/")), key=_number, reverse=True)]
    for folder in found:
        if all((folder / name).is_file() for name in _PROGRAMS) and (major is None or _version(folder) == major):
            return folder
    which = "PostgreSQL's server" if major is None else f"PostgreSQL {major}, which wrote the data in .services/postgres,"
    raise ZeromissError(f"{which} is not on this machine: install it (Debian: apt-get install postgresql{'' if major is None else '-' + major})")


def unprivileged() -> str | None:
    """Return the user that PostgreSQL runs as where it refuses the caller, root; None for the caller.

    Raises ZeromissError when there is no such user.
    """
    import pwd

    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    for name in ("postgres", "nobody"):
        if name in known:
            return name
    raise ZeromissError("PostgreSQL refuses to run as root, and there is no user postgres: make one, or run as another user")


def _make_cluster(data: Path, user: str | None, password: str) -> None:
    """Make the cluster, whole or not at all, where there is none."""
    if user and subprocess.run(["test", "-x", str(data.parent)], user=user, group=_group(user), extra_groups=[], check=False).returncode:
        raise ZeromissError(
            f"PostgreSQL runs as the user {user}, who may not enter {data.parent}: give that user the right (chmod o+x on its parents), "
            "or keep the services elsewhere with make services-up SERVICES=FOLDER"
        )
    if (data / "PG_VERSION").is_file():
        return
    programs, draft = find_programs(None), data.with_name("postgres.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    with tempfile.NamedTemporaryFile("w", suffix=".pw") as secret:
        secret.write(password + "\n")
        secret.flush()
        as_user = {}
        if user:
            shutil.chown(draft, user, _group(user))
            shutil.chown(secret.name, user)
            as_user = {"user": user, "group": _group(user), "extra_groups": []}
        words = ["-D", str(draft), "-U", "zeromiss", "--auth=scram-sha-256", f"--pwfile={secret.name}", "--encoding=UTF8", "--locale=C", "--data-checksums"]
        done = subprocess.run([str(programs / "initdb"), *words], cwd=data.parent, capture_output=True, text=True, check=False, **as_user)
    if done.returncode:
        raise ZeromissError(f"PostgreSQL's initdb made no cluster in {data}: {' '.join(done.stderr.split())}")
    draft.rename(data)


def _group(user: str) -> int:
    """Return a user's own group."""
    import pwd

    return pwd.getpwnam(user).pw_gid


def _asker(settings: Settings) -> Callable[[float], bool]:
    """Return what asks PostgreSQL for an answer, with the password of this set."""

    def answers(since: float) -> bool:
        """Return whether PostgreSQL takes a connection; whenever the process began, the answer is today's."""
        import psycopg2

        psycopg2.connect(_address(settings), connect_timeout=3).close()
        return True

    return answers


def _make_databases(settings: Settings) -> None:
    """Make the databases that are not there."""
    import psycopg2

    connection = psycopg2.connect(_address(settings), connect_timeout=10)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT datname FROM pg_database")
            there = {name for (name,) in cursor.fetchall()}
            for name in DATABASES:
                if name not in there:
                    cursor.execute(f"CREATE DATABASE {name}")
    finally:
        connection.close()


def _address(settings: Settings) -> str:
    """Return libpq's words for the database that always is there."""
    return f"host={HOST} port={settings.ports['postgres']} user=zeromiss password={settings.secrets['postgres']} dbname=postgres"


def _major(data: Path) -> str | None:
    """Return the major version that wrote a cluster; None where there is none."""
    try:
        return (data / "PG_VERSION").read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None


def _version(folder: Path) -> str:
    """Return the major version of a folder's server, as in "15"."""
    done = subprocess.run([str(folder / "postgres"), "--version"], capture_output=True, text=True, check=False)
    return done.stdout.rpartition("PostgreSQL) ")[2].split(".")[0].split()[0] if done.stdout else ""


def _by_pg_config() -> Path | None:
    """Return the folder that pg_config names."""
    try:
        done = subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return Path(done.stdout.strip()) if done.returncode == 0 else None


def _by_path() -> Path | None:
    """Return the folder of the server that the shell would start."""
    found = shutil.which("postgres")
    return Path(found).resolve().parent if found else None


def _number(folder: Path) -> float:
    """Return the version in a folder's name, so that 16 goes before 9.6."""
    digits = "".join(letter for letter in folder.parent.name if letter.isdigit() or letter == ".")
    try:
        return float(digits)
    except ValueError:
        return 0.0
