"""The logs of this program."""
