"""Airflow and dbt together: the factory DAG files call, and the commands that run them."""
