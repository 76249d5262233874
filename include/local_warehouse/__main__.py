"""``python -m include.local_warehouse``: the local warehouse alone."""

from .serve import main

if __name__ == "__main__":
    main()
