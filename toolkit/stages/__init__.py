"""One module per stage: each reads and writes files of a run's folder, so that any can be run again alone."""
