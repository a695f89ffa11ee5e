"""The command line. torch, SQL and Rich are imported by the commands that need them."""

from remembrandt.cli.command import app

# isort: off
# in this order `--help` lists them
from remembrandt.cli import teaching, training, painting, keeping, users, serving

__all__ = ["app", "keeping", "main", "painting", "serving", "teaching", "training", "users"]


def main() -> None:
    """The entry point of `remembrandt`."""
    app()
