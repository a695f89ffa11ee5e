"""One Stable Diffusion that learns your things, one after another, and forgets none of them.

`Studio` is the Python interface, `Client` the same over HTTP; each is imported when it is asked for, and torch with the
first use of `Studio`.
"""

__version__ = "0.1.0"
__all__ = ["Client", "Studio", "__version__"]


def __getattr__(name: str):
    if name == "Studio":
        from remembrandt.studio import Studio as found
    elif name == "Client":
        from remembrandt.client import Client as found
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return found
