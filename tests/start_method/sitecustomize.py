"""Starts the processes of a command as `pytest --start-method` says; tests/conftest.py puts this folder on the path."""

import multiprocessing
import os

if "TESTS_START_METHOD" in os.environ:
    multiprocessing.set_start_method(os.environ["TESTS_START_METHOD"], force=True)
