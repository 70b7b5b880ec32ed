"""One file an operation (or a family with one formula); each is registered where it stands, and no list names them."""
