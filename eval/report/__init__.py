"""What was measured, in one folder: tables, figures, and a page to look at."""
