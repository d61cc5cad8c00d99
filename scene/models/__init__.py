"""Networks of scenes: sparse and point encoders, pixel encoders."""
