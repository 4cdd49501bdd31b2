"""`python -m labenv`: the same as the `labenv` command."""

from labenv.cli import main

if __name__ == "__main__":
    main()
