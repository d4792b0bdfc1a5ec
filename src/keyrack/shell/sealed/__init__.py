"""What opens keystores, and a server that waits for it."""
