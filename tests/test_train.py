"""`train` and `recipes` on the command line."""

import json

import pytest
from typer.testing import CliRunner

from remembrandt.cli import app
from tests.homes import photos


def call(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    place = photos(tmp_path_factory.mktemp("given") / "dog")
    for photo in place.iterdir():
        photo.with_suffix(".txt").write_text("a red dog")
    return place


def test_from_command_to_model(tiny_folder, data, tmp_path):
    words = ["train", tiny_folder, "text-to-image", "--data", data, "-o", tmp_path / "model", "--json"]
    words += ["--set", "steps=1", "--set", "batch=2", "--batch", "1", "--device", "cpu", "--precision", "fp32"]
    words += ["--home", tmp_path / "home"]
    told = call(*words, "--dry-run")
    assert told.exit_code == 0, told.stderr
    found = json.loads(told.stdout)
    assert found["pictures"] == len(list(data.glob("*.txt"))) and found["pictures_seen"] == 2
    assert not (tmp_path / "model").exists() and found["gigabytes"] > 0
    done = call(*words)
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["stages"][0]["calls"] == 2 and (tmp_path / "model" / "model_index.json").is_file()
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["inpant"], "Did you mean 'inpaint'"),
        (["variations"], "has no image encoder"),
        (["text-to-image", "--preset", "lambda-v1"], "has no preset"),
        (["text-to-image", "--stage", "2"], "there is no stage 2"),
        (["text-to-image", "--batch", "0"], "whole numbers from 1"),
    ],
)
def test_what_is_wrong_is_one_line_and_leaves_nothing(tiny_folder, data, tmp_path, words, said):
    done = call("train", tiny_folder, *words, "--data", data, "-o", tmp_path / "model", "--device", "cpu")
    assert done.exit_code == 2 and said in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "model").exists()


def test_without_captions_nothing_is_encoded_nor_promised(tmp_path):
    words = ["train", "pocket", "text-to-image", "--data", photos(tmp_path / "dog"), "-o", tmp_path / "model"]
    for more in ([], ["--dry-run"]):
        done = call(*words, *more)
        assert done.exit_code == 2 and "caption" in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "model").exists()


def test_recipes_are_listed():
    rows = json.loads(call("recipes", "--json").stdout)
    assert {row["name"] for row in rows} >= {"variations", "inpaint", "text-to-image"}
    assert rows[0]["presets"] == ["lambda-v1", "lambda-v2"]
