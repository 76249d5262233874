"""The pipelines on this machine, with sample data and what they answer."""
