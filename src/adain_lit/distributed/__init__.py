"""One command in several processes, on one machine or many."""
