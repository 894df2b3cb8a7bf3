"""`python -m workers` is `sipherd`."""

from workers.cli import main

if __name__ == "__main__":
    main()
