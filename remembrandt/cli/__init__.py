"""The command line. torch, SQL and Rich are imported by the commands that need them."""

from remembrandt.cli.command import app

# isort: off
# in this order `--help` lists them
from remembrandt.cli import teaching, training, painting, keeping

__all__ = ["app", "keeping", "main", "painting", "teaching", "training"]


def main() -> None:
    """The entry point of `remembrandt`."""
    app()
