"""What people look at: curves, contact sheets, tables and the HTML page of training runs."""
