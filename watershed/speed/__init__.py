"""What the stream keeps: its commits and progress, sums, critical events, the cache."""
