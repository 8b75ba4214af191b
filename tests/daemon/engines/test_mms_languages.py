"""Languages of MMS as BCP 47."""

import pytest

from voiced.engines.mms_languages import language_tag


@pytest.mark.parametrize(
    ("code", "tag"),
    [
        ("eng", "en"),
        ("deu", "de"),
        ("cmn", "zh"),
        ("swh", "sw"),
        ("ewo", "ewo"),
        ("uzb-script_cyrillic", "uz-Cyrl"),
        ("azj-script_latin", "az-Latn"),
        ("mam-dialect_northern", "mam"),
        ("xyz-script_unheard", "xyz"),
        ("ENG", "en"),
        ("", ""),
    ],
)
def test_tag(code: str, tag: str) -> None:
    assert language_tag(code) == tag
