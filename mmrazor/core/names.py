"""Names of modules and of what is in them."""

from __future__ import annotations


def is_inside(name: str, module: str) -> bool:
    """Tell whether a name is that of a module or of something in it.

    Args:
        name: Of a module, parameter or buffer.
        module: Everything is inside the whole model, ``''``.

    Example:
        >>> is_inside('head.fc', 'head'), is_inside('header', 'head')
        (True, False)
        >>> is_inside('head.fc', '')
        True
    """
    return not module or name == module or name.startswith(f"{module}.")
