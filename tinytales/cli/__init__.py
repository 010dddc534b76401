"""The `tinytales` command: one module a command, each light until it is called."""
