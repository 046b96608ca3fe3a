"""The golden model: quantised nets in integers."""
