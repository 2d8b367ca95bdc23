"""Series: reading, gaps, splits, scaling, forecast rows and baselines."""
