"""`make backup` and `make restore`: the data as one file, and a database from such a file."""

import os
import sys
from argparse import ArgumentParser
from pathlib import Path

from config import BACKEND, ConfigurationError, load_settings
from src.backups.backup import back_up
from src.backups.restore import restore
from src.backups.target import BackupError
from src.embedded_postgres.programs import EmbeddedPostgresError
from src.observability.log import configure_log
from src.serving.process import unwind_on_signals


def main() -> None:
    """Back up or restore the database of DATABASE_URL, or without one the embedded PostgreSQL."""
    parser = ArgumentParser(prog="python backup.py", description=main.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    backup = commands.add_parser("backup", help="write a backup, while the service may go on working")
    backup.add_argument("file", nargs="?", help="default: a new file in this directory, named after its contents")
    backup.add_argument(
        "--programs", metavar="DIR", help="PostgreSQL's programs, to run the embedded data of another major version"
    )
    commands.add_parser("restore", help="fill an empty database from a backup").add_argument("file")
    given = parser.parse_args()
    here = Path.cwd()
    file = here / given.file if given.file else None
    # A relative path in a setting means the same as for the service.
    os.chdir(BACKEND)
    unwind_on_signals()
    configure_log("WARNING")
    try:
        if given.command == "backup":
            _back_up(here, file, here / given.programs if given.programs else None)
        else:
            assert file is not None
            _restore(file)
    except (ConfigurationError, EmbeddedPostgresError, BackupError) as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"{error.filename or 'The backup'}: {error.strerror or error}.")
    except KeyboardInterrupt:
        sys.exit("Interrupted.")


def _back_up(directory: Path, file: Path | None, programs: Path | None) -> None:
    path, label = back_up(load_settings(), directory, file, programs)
    print(f"Wrote {label.tasks:,} tasks and {label.entries:,} history entries to {path}")


def _restore(file: Path) -> None:
    label, miscounted, kept = restore(load_settings(), file)
    print(f"Restored {label.tasks:,} tasks and {label.entries:,} history entries")
    if miscounted:
        print(f"The backup had wrong totals ({', '.join(miscounted)}); all totals have been counted again.")
    if kept is not None:
        print(f"The old data is in {kept}; delete it once you are sure that you no longer need it.")


if __name__ == "__main__":
    main()
