"""One file for each kind of data; dropping in a file adds one."""
