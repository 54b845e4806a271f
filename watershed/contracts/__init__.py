"""Contracts: what an event type is, and what is derived from it."""
