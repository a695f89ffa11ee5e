"""One photo: from whatever a camera, a phone or a browser left, to an upright square in sRGB."""

from __future__ import annotations

import struct
import warnings
import zlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from remembrandt.settings import Wrong

# A white list, because Pillow knows formats that start other programs (EPS) or hold no photo (PDF).
# MPO, two photos in a JPEG, is opened as JPEG; HEIF is added where its reader is installed.
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "JPEG2000", "PPM")
HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
RAW = {".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".rw2"}
VIEW = 320  # pixels of the thumbnail on the contact sheet
LEAST = 32  # pixels of a side that can still show something
BROKEN = (OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, TypeError)
BROKEN = (*BROKEN, struct.error, zlib.error, OverflowError)  # what Pillow's decoders raise


@dataclass(frozen=True)
class Photo:
    """A prepared photo. `box` (left, top, right, bottom) and `size` (w, h) are in its own pixels."""

    name: str
    square: np.ndarray  # uint8 (s, s, 3)
    view: np.ndarray  # uint8, the whole photo, longer side <= VIEW
    size: tuple[int, int]
    box: tuple[int, int, int, int]
    notes: tuple[str, ...] = ()  # what one may want to know of it


def prepare(path: Path, size: int, name: str = "") -> Photo:
    """The largest middle square of the photo at `path`, `size` pixels a side.

    Raises `Wrong` with what is the matter, as it follows the file's name in a sentence.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of large pictures and odd EXIF: both are dealt with here
        picture, full, notes = _open(path, size)
        short = min(full)
        if short < max(LEAST, size // 4):
            wanted = max(LEAST, size // 4)
            raise Wrong(f"is too small ({_by(full)}): its shorter side must have {wanted} pixels")
        if short < size:
            notes.append("small")
        if max(full) > 2.5 * short:
            notes.append("long")
        colour, seen_through = _srgb(picture)
        if seen_through:
            notes.append("alpha")
    square = np.asarray(_square(colour, size))
    if square.std(axis=(0, 1)).max() < 2:
        raise Wrong("is one flat colour: there is nothing on it to learn")
    view = colour.copy()
    view.thumbnail((VIEW, VIEW), Image.Resampling.LANCZOS)
    return Photo(name or path.name, square, np.asarray(view), full, middle(full), tuple(notes))


def whole(path: Path) -> np.ndarray:
    """All of the picture at `path`, upright sRGB on white, uint8 (h, w, 3); raises `Wrong` as `prepare` does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(_srgb(_open(path, 10**6)[0])[0])


def grey(path: Path) -> np.ndarray:
    """The picture's brightness (h, w), fp32, as deep as the file is; raises `Wrong` as `prepare` does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        picture = _open(path, 10**6)[0]
        deep = picture if picture.mode.startswith(("I", "F")) else _srgb(picture)[0].convert("L")
        return np.asarray(deep).astype(np.float32)


def mask(path: Path, like: Photo) -> np.ndarray:
    """The mask at `path` as the square of its photo, uint8 (s, s): its alpha where it has one, else its brightness.

    Raises `Wrong` as `prepare` does.
    """
    size = len(like.square)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        picture, full, _ = _open(path, size)
        if abs(full[0] * like.size[1] - full[1] * like.size[0]) > 0.02 * full[1] * like.size[0]:
            raise Wrong(f"has another shape ({_by(full)}) than its photo ({_by(like.size)})")
        picture = _eight_bit(picture)
        shade = picture.convert("RGBA").getchannel("A") if picture.has_transparency_data else picture.convert("L")
        found = np.asarray(_square(shade, size))
    if found.max() < 128:
        raise Wrong("hides all of its photo: what counts is white")
    return found


def middle(size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The largest square in the middle of (w, h)."""
    side = min(size)
    left, top = (size[0] - side) // 2, (size[1] - side) // 2
    return left, top, left + side, top + side


def _square(picture: Image.Image, size: int) -> Image.Image:
    filter = Image.Resampling.LANCZOS
    return picture.resize((size, size), filter, box=middle(picture.size), reducing_gap=3.0)


def _open(path: Path, size: int) -> tuple[Image.Image, tuple[int, int], list[str]]:
    """The upright picture, perhaps decoded smaller; its true size; notes."""
    try:
        with open(path, "rb") as file:
            head = file.read(16)
        if not head:
            raise Wrong("is an empty file")
        extra = _extra(path, head)
        Image.init()  # the rarer formats' readers; once, the second call does nothing
        formats = [name for name in (*FORMATS, *extra) if name in Image.OPEN]
        with Image.open(path, formats=formats) as picture:
            picture.verify()  # a PNG's check-sums: damaged pixels decode without a word
        with Image.open(path, formats=formats) as picture:
            full = picture.size
            moving = getattr(picture, "is_animated", False) and picture.format != "MPO"
            if min(full) >= 8 * size:
                picture.draft(None, (4 * size, 4 * size))  # JPEG alone: 50 megapixels, at once
            picture.load()
            if picture.getexif().get(0x0112, 1) >= 5:
                full = (full[1], full[0])
            return ImageOps.exif_transpose(picture), full, ["moving"] if moving else []
    except Wrong:
        raise
    except Image.DecompressionBombError:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6
        raise Wrong(f"is huge: save it with fewer than {most} million pixels") from None
    except UnidentifiedImageError:
        raise Wrong("is not a picture, or is damaged from its first bytes") from None
    except MemoryError:
        raise Wrong("does not fit in memory: save it smaller") from None
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise Wrong(f"cannot be read ({error.strerror})") from None
    except BROKEN as error:
        cut = "truncated" in str(error).lower() or isinstance(error, EOFError)
        raise Wrong(
            "is cut off before its end: copy it again" if cut else f"is damaged ({error})"
        ) from None


def _extra(path: Path, head: bytes) -> tuple[str, ...]:
    """The format that needs an extra; refuses, by content, what needs another tool, and says which."""
    if path.suffix.lower() in RAW:
        raise Wrong("is a camera's raw file: export it as JPEG or PNG")
    if head[4:8] != b"ftyp" or head[8:12] not in HEIC:
        return ()
    if not _heif():
        raise Wrong("is HEIC: `pip install pillow-heif`, or save it as JPEG")
    return ("HEIF",)


def _heif() -> bool:
    try:
        import pillow_heif  # type: ignore[import-not-found]
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


def _srgb(picture: Image.Image) -> tuple[Image.Image, bool]:
    """The picture as 8-bit sRGB on white, and whether it could be seen through."""
    profile, picture = picture.info.get("icc_profile"), _eight_bit(picture)
    alpha = None
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        alpha = picture.getchannel("A")
        picture = picture.convert("RGB")
    elif picture.mode in ("P", "1"):
        picture = picture.convert("RGB")
    colour = _without_profile(picture, profile)
    if alpha is None or alpha.getextrema()[0] == 255:
        return colour, False
    white = Image.new("RGB", colour.size, "white")
    white.paste(colour, mask=alpha)
    return white, True


def _without_profile(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """Phones save Display P3 and printers CMYK: without their profile the colours are others."""
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(BytesIO(profile))
            target = ImageCms.createProfile("sRGB")
            changed = ImageCms.profileToProfile(picture, source, target, outputMode="RGB")
            return changed or picture.convert("RGB")
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass  # a profile that does not fit its picture is no reason to refuse the picture
    return picture.convert("RGB")


def _eight_bit(picture: Image.Image) -> Image.Image:
    """Deep grey (16-bit, 32-bit, float) as 8 bits; Pillow's own conversion would clip it."""
    if not picture.mode.startswith(("I", "F")):
        return picture
    values = np.asarray(picture).astype(np.float64)
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    whole = 65535.0 if picture.mode != "F" else 255.0 if values.max() > 1.0 else 1.0
    values = values / max(whole, values.max())
    return Image.fromarray((values.clip(0, 1) * 255).round().astype(np.uint8))


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
