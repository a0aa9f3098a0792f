"""What Myntverk is measured by: `python -m benchmarks [GROUP] [--json]`; docs/reference/performance.md explains."""
