"""What watches a daemon from outside: metrics and their listener, OpenTelemetry."""
