"""The bench: frames into a simulated design and out of it, with stalls, taps and counters."""
