"""What a search leaves."""
