"""One module per stored thing: its layout, its writer and its reader together."""
