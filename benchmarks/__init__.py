"""What the package costs, in one run beside what else there is. Not shipped; run as `python -m benchmarks`."""
