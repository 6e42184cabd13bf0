"""What looks after the processes of a run: see docs/faults.md."""
