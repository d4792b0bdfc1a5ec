"""The configuration: its tables, read, checked and rewritten."""
