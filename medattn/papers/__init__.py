"""Reproduction and audit of the two papers; its modules are imported by their own names."""
