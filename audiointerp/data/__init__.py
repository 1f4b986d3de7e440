"""What is played: sounds with their factors, corpus readers, synthesis, splits and segments."""
