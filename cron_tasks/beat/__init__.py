"""The beat process: it fires jobs when they are due, and looks after overdue runs."""
