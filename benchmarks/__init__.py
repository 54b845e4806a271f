"""What Watershed is measured by: each program prints ratios against peers, in one run."""
