"""What holds where nothing else is asked for, of several functions and commands alike."""

SAMPLES = 128  # importance samples for each example
