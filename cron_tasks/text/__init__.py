"""Text from outside, made safe to show and to store. Pure."""
