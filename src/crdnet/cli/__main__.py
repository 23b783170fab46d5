"""`python -m crdnet.cli`: the same as `crdnet`."""

from crdnet.cli.main import main

main()
