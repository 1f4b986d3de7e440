"""What a filter is tuned to: spectro-temporal modulation of filters and of sounds."""
