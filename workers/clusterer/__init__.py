"""The process that keeps the tables of several nodes equal, and what it is made of."""
