"""The jobs of a sweep and the report on them."""
