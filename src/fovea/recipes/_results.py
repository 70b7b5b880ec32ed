"""What several recipes say in the same way."""

import shlex


def command_line(name: str, *words: object, **options: object) -> str:
    """The command that does it again, quoted for a shell."""
    parts = ["fovea", name, *map(str, words)]
    for option, value in options.items():
        if value is True:
            parts.append(f"--{option.replace('_', '-')}")
        elif value is not None and value is not False:
            parts += [f"--{option.replace('_', '-')}", str(value)]
    return shlex.join(parts)
