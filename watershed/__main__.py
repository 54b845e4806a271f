"""``python -m watershed``: the command line."""

import signal

# Until a command runs there is nothing to stop, and no stack trace to show for Ctrl-C.
interrupted = signal.getsignal(signal.SIGINT)
if interrupted is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from watershed.cli.app import main  # noqa: E402

signal.signal(signal.SIGINT, interrupted)
main()
