"""What people look at: figures, charts and lists of what was used, over a time of their choice. Changes nothing."""
