"""Flower: who may reach it."""
