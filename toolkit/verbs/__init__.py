"""The verbs of the command line; each module adds some to the parser."""
