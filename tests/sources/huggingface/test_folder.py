"""What is read of a folder of transformers, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgepipe.errors import ModelError
from edgepipe.sources.huggingface.folder import read_folder

CONFIG = {"model_type": "bert", "architectures": ["BertModel"]}


def folder(path: Path, **files: Any) -> Path:
    """A folder with a config and these further files, "__" for a dot."""
    path.mkdir(exist_ok=True)
    for name, content in {"config__json": CONFIG, **files}.items():
        file = path / name.replace("__", ".")
        file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_weights_may_lie_in_shards(tmp_path: Path) -> None:
    shards = {"a": "model-1.safetensors", "b": "model-2.safetensors"}
    made = folder(tmp_path, model__safetensors__index__json={"weight_map": shards})
    with pytest.raises(ModelError, match=r"names model-1\.safetensors, which is not there: fetch all of them"):
        read_folder(made)
    for name in shards.values():
        (made / name).write_bytes(b"x")
    found = read_folder(made)
    assert [file.name for file in found.weights] == sorted(shards.values()) and found.size_bytes == 2
    assert {"config.json", "model.safetensors.index.json", *shards.values()} == found.files.keys()
    for odd in ({"a": "../other.safetensors"}, {"a": "pytorch_model.bin"}, {"a": 3}, {}, []):
        folder(tmp_path, model__safetensors__index__json={"weight_map": odd})
        with pytest.raises(ModelError, match="names no files of weights beside it"):
            read_folder(made)


def test_a_pickle_is_refused_with_how_to_convert_it(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"a pickle \(pytorch_model\.bin\), which runs code.*safe_serialization=True"):
        read_folder(folder(tmp_path / "a", pytorch_model__bin="x"))
    with pytest.raises(ModelError, match=r"has no model\.safetensors \(tf_model\.h5 is another framework's\)"):
        read_folder(folder(tmp_path / "b", tf_model__h5="x"))
    with pytest.raises(ModelError, match=r"has no model\.safetensors: save it"):
        read_folder(folder(tmp_path / "c"))


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"config__json": "{"}, r"config\.json: cannot be read"),
        ({"config__json": "[]"}, r"config\.json: holds no settings"),
        ({"config__json": "{}"}, "names no model_type"),
        ({"adapter_config__json": "{}"}, "holds an adapter: merge it"),
    ],
)
def test_what_is_no_model_is_refused(tmp_path: Path, files: dict[str, str], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        read_folder(folder(tmp_path, model__safetensors="x", **files))
    with pytest.raises(ModelError, match="no such folder: give one that save_pretrained wrote"):
        read_folder(tmp_path / "no")
    (tmp_path / "config.json").unlink()
    (tmp_path / "adapter_config.json").unlink(missing_ok=True)
    with pytest.raises(ModelError, match=r"has no config\.json"):
        read_folder(tmp_path)


def test_names_pooling_and_processor_are_found(tmp_path: Path) -> None:
    config = {**CONFIG, "id2label": {"1": "dog", "0": "cat"}}
    processor = {"image_processor": {"size": 32}}
    made = folder(tmp_path, model__safetensors="x", config__json=config, processor_config__json=processor)
    (made / "1_Pooling").mkdir()
    (made / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    (made / "modules.json").write_text('[{"type": "sentence_transformers.models.Normalize"}]')
    found = read_folder(made)
    assert (found.names, found.pooling, found.normalized) == (("cat", "dog"), "cls", True)
    assert found.preprocessing == {"size": 32}
    (made / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": false}')
    with pytest.raises(ModelError, match=r"set model\.pooling"):
        read_folder(made)
    unnamed = folder(tmp_path / "u", model__safetensors="x", config__json={**CONFIG, "id2label": {"0": "LABEL_0"}})
    assert (read_folder(unnamed).names, read_folder(unnamed).pooling) == ((), None)
