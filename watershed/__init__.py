"""The shared package of Watershed: everything the programs, DAGs and tests have in common."""
