"""The application around the engine: command line, host protocol, farm."""
