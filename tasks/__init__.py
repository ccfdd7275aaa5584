"""Prefect tasks: thin adapters between the flows and the library; paths and short strings in and out."""
