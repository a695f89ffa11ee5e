"""`python -m remembrandt`."""

from remembrandt.cli import main

main()
