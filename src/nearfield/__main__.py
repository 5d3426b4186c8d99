"""`python -m nearfield`: the command line, also under torchrun."""

from nearfield.app.cli import main

main()
