"""What Airflow runs: one module per DAG, with its schedule, its order and its page in the UI."""
