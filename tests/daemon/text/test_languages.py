"""The fourteen languages: each paragraph is cut where its readers cut it, and told from the others."""

# ruff: noqa: RUF001 (letters of many scripts are what this is about)

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.daemon.text.languages import PARAGRAPHS
from voiced.segments import Break, covers
from voiced.text.borders import goes_on
from voiced.text.language import detect_language
from voiced.text.plan import Limits, make_plan
from voiced.text.sentences import sentence_ends

_LANGUAGES = sorted(PARAGRAPHS)


def _parts(text: str, language: str, limits: Limits) -> list[str]:
    plan = make_plan(text, language=language, limits=limits)
    assert covers(plan)
    return [text[segment.start : segment.end] for segment in plan.segments]


def test_there_are_fourteen() -> None:
    assert len(PARAGRAPHS) == 14


@pytest.mark.parametrize("language", _LANGUAGES)
def test_sentences_end_where_readers_end_them(language: str) -> None:
    sentences = PARAGRAPHS[language]
    assert _parts("".join(sentences), language, Limits(400)) == list(sentences)


@pytest.mark.parametrize("language", _LANGUAGES)
def test_the_language_is_found(language: str) -> None:
    assert detect_language("".join(PARAGRAPHS[language]), "xx") == language


@pytest.mark.parametrize("max_chars", [1, 7, 20, 60, 120])
@pytest.mark.parametrize("language", _LANGUAGES)
def test_limits_hold_and_every_character_is_covered_once(language: str, max_chars: int) -> None:
    text = "".join(PARAGRAPHS[language])
    parts = _parts(text, language, Limits(max_chars, 30))
    assert "".join(parts) == text
    assert max(len(part.strip()) for part in parts) <= max_chars


@pytest.mark.parametrize("language", sorted(set(_LANGUAGES) - {"zh", "ja"}))
def test_long_sentences_end_at_words(language: str) -> None:
    text = "".join(PARAGRAPHS[language])
    assert all(part[-1].isspace() for part in _parts(text, language, Limits(60))[:-1])


@pytest.mark.parametrize("language", _LANGUAGES)
def test_the_paragraph_again_and_again_is_cut_the_same(language: str) -> None:
    sentences = list(PARAGRAPHS[language])
    sentences[-1] += "\n\n"
    text = "".join(sentences) * 20
    plan = make_plan(text, language=language, limits=Limits(400))
    assert [text[segment.start : segment.end] for segment in plan.segments] == sentences * 20
    assert sum(segment.after is Break.PARAGRAPH for segment in plan.segments) == 19


@pytest.mark.parametrize(
    ("language", "sentences"),
    [
        ("de", ["Er kam am 3. Mai in die 2. Klasse. ", "Sie wurde 19. ", "Danach ging sie."]),
        ("de", ["Im 3. Kapitel steht es. ", "Siehe S. 14 und Abb. 3. ", "Gut."]),
        ("fr", ["J.-P. Sartre et Mgr. Petit arrivent. ", "Bien."]),
        ("fr", ["Il attendait… ", "« Viens ! » cria-t-elle. ", "Et puis… plus rien."]),
        ("es", ["D. Juan y Dña. Inés. ", "Fin."]),
        ("pl", ["Urodził się ok. 1900 r. w Łodzi. ", "Umarł."]),
        ("ru", ["Он жил на ул. Пушкина, д. 5. ", "Потом уехал… ", "Всё."]),
        ("ru", ["Он родился в 1998 г. в г. Москве. ", "Он сказал им. ", "Потом ушёл."]),
        ("it", ["Il sig. Rossi abita in S. Marco. ", "Fine."]),
        ("pt", ["Av. Paulista, n. 5. ", "Fim."]),
        ("tr", ["Bkz. 3. bölüm. ", "Son."]),
        ("zh", ["“好。”他说。", "“不行。”", "大家走了。"]),
        ("ko", ["“좋아.”라고 그는 말했다. ", "끝."]),
        ("hi", ["“हाँ!” राम बोला। ", "“नहीं।” ", "वह चला गया।"]),
        ("ar", ["«نعم.» قال أحمد. ", "ثم خرج."]),
        ("en", ["He left at 5 p.m. ", '"Why?" asked Mr. Fox. ', "See p. 3. ", "The end."]),
        ("pl", ["to jest dom. ", "tam stoi kot, np. czarny, itd. i pies. ", "Koniec."]),
        ("es", ["el perro, etc. y el gato. ", "la casa."]),
        ("nl", ["Dat is waar. ", "“Echt?” vroeg hij. ", "Ja."]),
        ("", ["One. ", "Two."]),
    ],
)
def test_more_sentences(language: str, sentences: list[str]) -> None:
    assert _parts("".join(sentences), language, Limits(400)) == sentences


@given(
    st.text('aB1. "“”»«…—?!у九道кΣдा।', max_size=60),
    st.sampled_from([*_LANGUAGES, "nl", ""]),
    st.integers(0, 60),
)
def test_borders_never_stop_a_text(text: str, language: str, border: int) -> None:
    goes_on(text, min(border, len(text)), language)
    ends = sentence_ends(text, 0, len(text), language)
    assert ends == sorted(set(ends))
    assert ends[-1] == len(text)
