"""Prefect flows: every act on the outside world, in order; what the stages are is DVC's to say."""
