"""Watching the pipelines: Elementary, its switch, its report and its alerts."""
