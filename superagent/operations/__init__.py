"""For operators: health, metrics, logs, backlogs, system checks and the admin's home."""
