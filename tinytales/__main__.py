"""`python -m tinytales` is the `tinytales` command."""

from tinytales.cli.main import main

main()
