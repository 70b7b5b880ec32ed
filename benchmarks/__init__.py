"""Every number of the project, measured again by one command; see README.md."""
