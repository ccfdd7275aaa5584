"""The services of a plant on one machine: PostgreSQL, S3, MLflow, Prefect and its workers, started and stopped together."""
