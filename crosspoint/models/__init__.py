"""Networks: point encoders, image encoders, projection heads."""
