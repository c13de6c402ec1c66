"""What people look at: curves, grids, tables and pages of training runs."""
