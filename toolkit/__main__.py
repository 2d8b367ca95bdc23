"""`python -m toolkit`: what run.py starts."""

from toolkit.cli import main

raise SystemExit(main())
