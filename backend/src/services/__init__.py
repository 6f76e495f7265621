"""The operations on tasks, and the reading of their history and counts; nothing here knows HTTP."""
