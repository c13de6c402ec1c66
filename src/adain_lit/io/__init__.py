"""Reading, converting and writing files."""
