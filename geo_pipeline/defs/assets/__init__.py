"""The assets, a module for each group: photos, cells, training, benchmarks."""
