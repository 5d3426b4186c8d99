"""`python -m nearfield`: the command line, also under torchrun."""

from nearfield.cli.main import main

main()
