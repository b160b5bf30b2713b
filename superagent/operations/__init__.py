"""The roof for operators: health, metrics, logs, backlogs, system checks and the home of the admin."""
