"""Models of the objective: maths without any policy of search."""
