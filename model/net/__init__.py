"""Float nets: what layers have in common, chains of them, and losses."""
