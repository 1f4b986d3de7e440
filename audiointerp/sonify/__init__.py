"""What it sounds like: maps of networks as sounds, the inputs that drive them most, and whether these sounds matter."""
