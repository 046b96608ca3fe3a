"""The hardware round the accelerator: clock, serial line, frames, images and answers."""
