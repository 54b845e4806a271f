"""Other ways to take the topic somewhere; each prints one line of :mod:`benchmarks.results`."""
