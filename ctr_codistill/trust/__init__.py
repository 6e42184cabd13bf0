"""What a snapshot of somebody else must show before it is used."""
