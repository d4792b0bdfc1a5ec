"""Where the journal is handed on to: files, syslog, webhooks. Each is a ``ports.sinks.Sink``."""
