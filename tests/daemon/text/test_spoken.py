"""Spoken forms of a plan: what changes, and what does not."""

from hypothesis import given
from hypothesis import strategies as st

from voiced.segments import covers
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
    assert [segment._replace(spoken=None) for segment in changed.segments] == list(plan.segments)


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
    assert spoken_form("1984", "en", LEXICON) == "the book"
    assert spoken_form("1984", "de", LEXICON) is None
