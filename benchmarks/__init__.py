"""The benchmarks: what `triggers` promises in figures, measured beside huey. See README.md."""
