"""Methods that learn from clouds and views of objects, one a file."""
