"""What a deployment makes once, and may make again: databases, roles, tables, topics."""
