"""The outcomes of runs, their notifications, and the queries and commands of people."""
