"""Console programs that fill the topics: one per source, a generator and a main each."""
