"""The words of the world, and nothing else: every attribute that a caption can name. Plain data."""

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 48, 44),
    "orange": (243, 136, 32),
    "yellow": (248, 208, 52),
    "green": (72, 164, 62),
    "teal": (26, 160, 158),
    "blue": (52, 96, 208),
    "purple": (132, 70, 182),
    "pink": (246, 140, 182),
    "brown": (136, 84, 46),
    "grey": (148, 150, 156),
}
WHITE, BLACK = (250, 248, 242), (34, 32, 38)

PATTERNS = ("plain", "striped", "dotted", "checked")
SIZES = ("small", "middle", "big")  # "middle" is never named

# category -> the words a caption may use; the first is the canonical one
CATEGORIES: dict[str, tuple[str, ...]] = {
    "dog": ("dog", "puppy", "hound"),
    "cat": ("cat", "kitty"),
    "bird": ("bird",),
    "person": ("person", "human"),
    "bottle": ("bottle", "flask"),
    "cup": ("cup", "mug"),
    "chair": ("chair", "seat"),
    "keyboard": ("keyboard",),
    "car": ("car", "auto"),
    "house": ("house", "cottage"),
    "shoe": ("shoe", "sneaker"),
    "backpack": ("backpack", "rucksack"),
    "toy": ("plush toy", "stuffed toy", "teddy"),
    "cube": ("cube", "block"),
    "sphere": ("sphere", "ball"),
    "lamp": ("lamp", "light"),
    "flower": ("flower", "potted flower"),
    "boat": ("boat", "ship"),
}

PLACES: dict[str, str] = {  # place -> the phrase that a caption uses
    "beach": "on the beach",
    "forest": "in the forest",
    "snow": "in the snow",
    "city": "in the city",
    "desert": "in the desert",
    "meadow": "in the meadow",
    "kitchen": "in the kitchen",
    "room": "in a room",
}

STYLES = ("photo", "watercolour", "ink", "pixel", "mosaic", "night", "pastel", "comic")
HELD_BACK = ("blueprint", "stained glass", "embroidery", "woodcut", "neon", "pop art")

RELATIONS = ("on top of", "beside", "behind")


def syllables() -> tuple[str, ...]:
    """About four hundred three-letter strings that spell no word: consonants around a rare middle."""
    outer, middle = "bcdfgklmpst", "rlxz"
    made = (a + m + b for m in middle for a in outer for b in outer if len({a, m, b}) == 3)
    return tuple(sorted(made))


SYLLABLES = syllables()
