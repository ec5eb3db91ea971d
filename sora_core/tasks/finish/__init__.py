"""From decoded windows to the finished video."""
