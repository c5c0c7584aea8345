"""Flower: who may reach it, and where our pages are added to it."""
