"""What a dry run finds out about a task and a space, before a search is paid for."""
