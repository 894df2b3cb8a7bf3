"""OpenSIPS' tables, rows of them, write modes: what is stored, without the storing."""
