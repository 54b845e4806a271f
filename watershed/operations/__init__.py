"""What operators ask and decide: one module per command, named as the command."""
