"""What the DAGs in ``dags/`` are made of: operators, the trigger, and what their tasks do.

This package and ``dags`` alone import airflow; ``schedule`` and ``messages`` are pure.
"""
