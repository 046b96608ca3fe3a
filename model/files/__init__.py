"""What is read and written: nets, images, artifacts."""
