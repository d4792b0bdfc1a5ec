"""The KMIP listener: sockets, TLS, who is let in, and the processes that share it."""
