"""What can be read: neighbours and linear probes, the designs that they are tested by, and their controls."""
