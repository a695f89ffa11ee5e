"""One Stable Diffusion that learns your things, one after another, and forgets none of them.

`Studio` is the Python interface; it is imported when it is asked for, and torch with its first use.
"""

__version__ = "0.1.0"
__all__ = ["Studio", "__version__"]


def __getattr__(name: str):
    if name != "Studio":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from remembrandt.studio import Studio

    return Studio
