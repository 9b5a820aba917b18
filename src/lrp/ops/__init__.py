"""The operations: one table from torch function to family, and the gates of the activations."""
