"""Untrusted text made safe to show, to log and to store. Pure."""
