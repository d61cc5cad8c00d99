"""Faults on purpose: killed processes, full disks, two writers, dead workers, and malformed input; counted."""
