"""What users' files are, and how a fuzzer damages them."""
