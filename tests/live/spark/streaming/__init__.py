"""Tests that share one application: a package's fixture ends with it, a folder's would not."""
