"""The local stack: real servers as child processes, from Python and Maven packages alone."""
