"""The papers as data."""
