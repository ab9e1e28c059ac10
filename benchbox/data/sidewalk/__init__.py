"""data.sidewalk."""
