"""The table of things."""

import skia

from .look import Look, Pose, Thing
from .pen import Pen
from .things_animals import dog
from .things_belongings import backpack, flower, shoe, sphere
from .things_birds import bird, cat
from .things_house import house
from .things_household import bottle, cup, lamp
from .things_people import person
from .things_plush import toy
from .things_solids import chair, cube, keyboard
from .things_vehicles import boat, car

__all__ = ["THINGS", "Look", "Pose", "Thing", "perch"]

SIDES = ("left", "right")
THINGS: dict[str, Thing] = {
    "dog": Thing(
        dog,
        1.45,
        ("nose", "eye", "ear", "neck", "shoulder", "hip", "tail", "front paw", "hind paw"),
        articulated=True,
        foot=0.5,
    ),
    "cat": Thing(
        cat,
        1.05,
        (
            "nose",
            "left eye",
            "right eye",
            "left ear",
            "right ear",
            "neck",
            "shoulder",
            "hip",
            "tail",
            "left paw",
            "right paw",
        ),
        articulated=True,
        foot=0.36,
    ),
    "bird": Thing(
        bird,
        1.2,
        ("beak", "eye", "crown", "neck", "back", "belly", "tail", "wing tip", "left foot", "right foot"),
        articulated=True,
        foot=0.3,
    ),
    "person": Thing(
        person,
        0.7,
        (
            "nose",
            "left eye",
            "right eye",
            "neck",
            *(f"{s} {j}" for j in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle") for s in SIDES),
        ),
        articulated=True,
        foot=0.3,
    ),
    "toy": Thing(
        toy,
        1.15,
        (
            "nose",
            "left eye",
            "right eye",
            "left ear",
            "right ear",
            "neck",
            "left hand",
            "right hand",
            "left foot",
            "right foot",
        ),
        articulated=True,
        foot=0.42,
    ),
    "cup": Thing(cup, 1.35, ("rim left", "rim right", "base left", "base right", "handle"), foot=0.34),
    "bottle": Thing(bottle, 0.7, ("top", "neck left", "neck right", "base left", "base right"), foot=0.28),
    "lamp": Thing(
        lamp,
        0.95,
        ("shade top left", "shade top right", "shade left", "shade right", "foot left", "foot right"),
        foot=0.28,
    ),
    "chair": Thing(
        chair,
        0.8,
        (
            "front left foot",
            "front right foot",
            "back left foot",
            "back right foot",
            "seat left",
            "seat right",
            "back left",
            "back right",
            "seat",
        ),
        seat=(-0.42, 0.28),
        foot=0.36,
    ),
    "keyboard": Thing(
        keyboard, 1.4, ("front left", "front right", "back right", "back left", "seat"), seat=(-0.4, 0.5), foot=0.68
    ),
    "cube": Thing(
        cube,
        1.08,
        ("top front", "top left", "top right", "top back", "bottom front", "bottom left", "bottom right", "seat"),
        seat=(-0.86, 0.42),
        foot=0.5,
    ),
    "sphere": Thing(sphere, 1.0, ("centre", "top", "left", "right", "contact"), foot=0.3),
    "car": Thing(
        car, 1.6, ("front wheel", "rear wheel", "head lamp", "tail lamp", "roof", "seat"), seat=(-0.84, 0.28), foot=0.68
    ),
    "boat": Thing(boat, 1.35, ("bow", "stern", "keel front", "keel back", "mast foot", "mast top"), foot=0.5),
    "house": Thing(
        house,
        1.35,
        ("front left", "front right", "back right", "eaves left", "eaves right", "eaves back", "seat"),
        seat=(-0.9, 0.25),
        foot=0.62,
    ),
    "shoe": Thing(shoe, 1.4, ("heel", "toe", "collar back", "collar front", "instep"), foot=0.6),
    "backpack": Thing(
        backpack, 1.05, ("handle", "top left", "top right", "base left", "base right", "pocket"), foot=0.4
    ),
    "flower": Thing(flower, 0.75, ("bloom", "pot left", "pot right", "base left", "base right"), foot=0.24),
}


def perch(category: str, look: Look, pose: Pose) -> tuple[float, float]:
    """Where another thing can stand on this one in local units: the exact middle of its seat, found by a dry run."""
    pen = Pen(skia.Surface(1, 1).getCanvas())
    THINGS[category].draw(pen, look, pose)
    return pen.keypoints["seat"]
