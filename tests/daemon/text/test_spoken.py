"""Spoken forms of a plan: what changes, and what does not."""

from hypothesis import given
from hypothesis import strategies as st

from voiced.segments import Edit, covers
from voiced.text.lexicon import Entry, Lexicon
from voiced.text.plan import Limits, make_plan
from voiced.text.spoken import spoken_form, spoken_forms

LEXICON = Lexicon(
    [Entry("voiced", "voist"), Entry("hush", ""), Entry("→", "arrow"), Entry("1984", "the book", "en")]
)


def test_only_segments_that_change_have_a_spoken_form() -> None:
    text = "This is voiced. This is not.\n\nHush! "
    plan = make_plan(text, language="en", limits=Limits(400))
    changed = spoken_forms(plan, text, LEXICON)
    assert [segment.spoken for segment in changed.segments] == ["This is voist. ", None, ""]
    assert [segment._replace(spoken=None, edits=()) for segment in changed.segments] == list(plan.segments)


def test_without_entries_the_plan_is_the_same() -> None:
    plan = make_plan("This is voiced.", language="en", limits=Limits(400))
    assert spoken_forms(plan, "This is voiced.", Lexicon()) is plan


def test_silence_stays_silent_unless_an_entry_speaks_it() -> None:
    for text, spoken in (("***", ""), ("→", "arrow")):
        plan = make_plan(text, language="en", limits=Limits(400))
        assert spoken_forms(plan, text, LEXICON).segments[0].spoken == spoken


def test_a_form_longer_than_the_limit_is_one_segment() -> None:
    lexicon = Lexicon([Entry("tea", "long " * 40)])
    text = "Tea tea! End."
    plan = spoken_forms(make_plan(text, language="en", limits=Limits(10)), text, lexicon)
    assert [len(segment.spoken or "") > 300 for segment in plan.segments] == [True, False]


@given(st.text("voiced hush→.\n19", max_size=80))
def test_offsets_stay_on_the_original(text: str) -> None:
    plan = make_plan(text, language="en", limits=Limits(20))
    changed = spoken_forms(plan, text, LEXICON)
    assert covers(changed)
    assert [segment[:7] for segment in changed.segments] == [segment[:7] for segment in plan.segments]


def test_a_language_of_its_own() -> None:
    assert spoken_form("1984", "en", LEXICON) == ("the book", ((0, 4, 8),))
    assert spoken_form("1984", "de", LEXICON) is None


def test_edits_tell_what_is_spoken_otherwise() -> None:
    form = spoken_form("hush: voiced in 1984, voiced.", "en", LEXICON)
    assert form is not None
    assert form.text == ": voist in the book, voist."
    assert form.edits == (Edit(0, 4, 0), Edit(6, 6, 5), Edit(16, 4, 8), Edit(22, 6, 5))
    whole = spoken_form("hush", "en", LEXICON)
    assert whole == ("", ())
    spelled = spoken_form("1984: 3 km", "de", LEXICON, spells_numbers=True)
    assert spelled is not None
    assert spelled.edits == (Edit(0, 10, len(spelled.text)),)


@given(st.text("voiced hush→.\n19", max_size=80))
def test_a_text_with_its_edits_is_its_spoken_form(text: str) -> None:
    form = spoken_form(text, "en", LEXICON)
    if form is None or not form.text:
        return
    place = longer = 0
    for edit in form.edits:
        written = text[place : edit.start]
        assert form.text[place - longer : edit.start - longer] == written
        place = edit.start + edit.chars
        longer += edit.chars - edit.spoken_chars
    assert form.text[place - longer :] == text[place:]
