"""``python -m include.commands``: the command ``firn`` where it is not installed."""

from include.commands.firn import main

if __name__ == "__main__":
    main()
