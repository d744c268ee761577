"""The rules: a synchronous, deterministic state machine over an ordered store."""
