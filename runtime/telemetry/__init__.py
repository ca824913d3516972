"""OpenTelemetry: spans with the GenAI semantic conventions."""
