"""What stages are made of: FIFOs, pipelines, memories, windows."""
