"""The jobs in Redis: their entries, the index, and one script for each change of a job."""
