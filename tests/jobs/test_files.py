"""What a home copies of a base."""

from remembrandt.jobs.files import copy_family


def test_a_single_file_takes_the_tokenizer_beside_it_along(tmp_path):
    (tmp_path / "from" / "tokenizer").mkdir(parents=True)
    (tmp_path / "from" / "tokenizer" / "merges.txt").write_text("a b")
    (tmp_path / "from" / "it.safetensors").write_bytes(b"weights")
    copy_family(tmp_path / "from" / "it.safetensors", tmp_path / "home" / "base")
    found = sorted(p.name for p in (tmp_path / "home" / "base").rglob("*"))
    assert found == ["it.safetensors", "merges.txt", "tokenizer"]
