"""The boards, as data."""
