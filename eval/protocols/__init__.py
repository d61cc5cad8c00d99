"""Protocols: how an encoder is measured, one a file."""
