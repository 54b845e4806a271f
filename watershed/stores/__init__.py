"""Connections to the stores, and what both layers share: one module per stored thing."""
