"""Everything that needs pyspark, beside the jobs."""
