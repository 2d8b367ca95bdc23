"""One module per stage: each reads files of a run's folder and writes files there, so that any can be run again alone."""
