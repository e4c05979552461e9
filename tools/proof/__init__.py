"""Running a snippet against PostgreSQL, judging the run, and keeping the record."""
