"""What papers printed, read strictly and never mixed with measured numbers."""
