"""Programs for Spark: one target of ``spark-submit`` per file."""
