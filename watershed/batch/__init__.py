"""What the report keeps: the ledger of intervals, attempts, facts and what is added up of them."""
