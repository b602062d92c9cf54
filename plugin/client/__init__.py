"""Client: what hosts get a copy of. Standard library only, Python 3.9; relative imports."""
