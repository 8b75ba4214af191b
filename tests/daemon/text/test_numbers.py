"""Numbers and abbreviations in words: a table for each language, and properties for every text."""

# ruff: noqa: RUF001 (letters of many scripts are what this is about)

import re
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.daemon.text.languages import PARAGRAPHS
from voiced.text.counting import COUNTED, cardinal, ordinal, roman, year
from voiced.text.lexicon import Entry, Lexicon
from voiced.text.numbers import spell
from voiced.text.spoken import spoken_form

pytest.importorskip("num2words", reason="comes with 'voiced[models]'")

TABLE: dict[str, dict[str, str]] = {
    "en": {
        "1,250 km": "one thousand two hundred and fifty kilometres",
        "-5 °C and 1 kg": "minus five degrees Celsius and one kilogram",
        "3.05": "three point zero five",
        "in 1998, the 1990s": "in nineteen ninety-eight, the nineteen nineties",
        "the 21st": "the twenty-first",
        "October 3, 1998": "October third, nineteen ninety-eight",
        "3 October": "third of October",
        "2024-10-03": "October third twenty twenty-four",
        "3/10/2024": "March tenth twenty twenty-four",
        "31/10/2024": "October thirty-first twenty twenty-four",
        "10:30, 10:05, 10:00": "ten thirty, ten oh five, ten o'clock",
        "$5.20, $1, $0.05, $3.5 million": (
            "five dollars and twenty cents, one dollar, five cents, three point five million dollars"
        ),
        "3.5% of 5 USD": "three point five percent of five dollars",
        "1/2 or 3/8, 2½": "one half or three over eight, two and one half",
        "1914-1918, 3–5 km": "nineteen fourteen to nineteen eighteen, three to five kilometres",
        "+49 30 1234567": "plus four nine, three zero, one two three four five six seven",
        "555-1234": "five five five, one two three four",
        "Chapter IV, part II": "Chapter four, part two",
        "the part I like, Section C, Henry VIII": "the part I like, Section C, Henry VIII",
        "MP3, 3D, 007, v1.2.3": "MP three, three D, zero zero seven, v one point two point three",
        "Dr. Fox, e.g. here, etc.": "Doctor Fox, for example here, et cetera.",
        "Oct. 3, 1998, 3 Nov. 1998": "October third, nineteen ninety-eight, third of November nineteen ninety-eight",
        "99/99/2024": "ninety-nine/ninety-nine/twenty twenty-four",
    },
    "en-GB": {"3/10/2024": "October third twenty twenty-four"},
    "de": {
        "am 3. Oktober, der 3. Mai": "am dritten Oktober, der dritte Mai",
        "im 19. Jahrhundert": "im neunzehnten Jahrhundert",
        "Er wurde 19. Danach": "Er wurde neunzehn. Danach",
        "am 3.10.2024": "am dritten Oktober zweitausendvierundzwanzig",
        "5,20 € und 1.250 EUR": "fünf Euro und zwanzig Cent und eintausendzweihundertfünfzig Euro",
        "um 10.30 Uhr, 1:00 Uhr": "um zehn Uhr dreißig, ein Uhr",
        "3,5 %, 1 km, 21 km": "drei Komma fünf Prozent, ein Kilometer, einundzwanzig Kilometer",
        "z. B. ca. 5, usw.": "zum Beispiel zirka fünf, und so weiter.",
        "Vgl. den 3. Okt. 1998": "Vergleiche den dritten Oktober neunzehnhundertachtundneunzig",
        "die 1980er": "die neunzehnhundertachtziger",
    },
    "fr": {
        "le 1er mai, la 1re, le 2e": "le premier mai, la première, le deuxième",
        "03/10/2024": "trois octobre deux mille vingt-quatre",
        "10 h 30, 10h, 1:05": "dix heures trente, dix heures, une heure cinq",
        "1 250,50 €": "mille deux cent cinquante euros et cinquante centimes",
        "M. Dupont, chapitre XIV": "Monsieur Dupont, chapitre quatorze",
    },
    "es": {
        "3 de octubre": "tres de octubre",
        "1.250,50 €, 1 km": "mil doscientos cincuenta euros con cincuenta céntimos, un kilómetro",
        "1.º, 2ª, capítulo XX": "primero, segunda, capítulo veinte",
        "EE. UU.": "Estados Unidos.",
        "3 de oct. de 1998": "tres de octubre de mil novecientos noventa y ocho",
    },
    "it": {
        "alle 10.30": "alle dieci e trenta",
        "il 3 ott. 1998": "il tre ottobre millenovecentonovantotto",
        "1/10/2024": "primo ottobre duemilaventiquattro",
        "3,5 %": "tre virgola cinque per cento",
        "2 h": "due ore",
    },
    "pt": {"R$ 5,20": "cinco reais e vinte centavos", "10h30": "dez e trinta", "2 km": "dois quilômetros"},
    "pl": {
        "3 października 1998 r.": "trzeciego października tysiąc dziewięćset dziewięćdziesiątego ósmego roku.",
        "1 km, 2 km, 5 km, 12 km, 21 km, 22 km, 1,5 km": (
            "jeden kilometr, dwa kilometry, pięć kilometrów, dwanaście kilometrów, dwadzieścia jeden kilometrów, "
            "dwadzieścia dwa kilometry, jeden przecinek pięć kilometra"
        ),
        "o godz. 10.30, 3 paźdz., 3,5 proc. z": "o godzinie dziesięć trzydzieści, trzeciego października, "
        "trzy przecinek pięć procent z",
        "w 19. wieku": "w dziewiętnasty wieku",
    },
    "ru": {
        "3 октября 1998 г. был": "третьего октября тысяча девятьсот девяносто восьмого года был",
        "03.10.2024": "третье октября две тысячи двадцать четвёртого года",
        "1 км, 2 км, 5 км, 11 км, 21 км": (
            "один километр, два километра, пять километров, одиннадцать километров, двадцать один километр"
        ),
        "3 окт. 1998 г.": "третьего октября тысяча девятьсот девяносто восьмого года.",
        "в 1998 г. он": "в тысяча девятьсот девяносто восьмом году он",
        "до 1998 г.": "до тысяча девятьсот девяносто восьмого года.",
        "5 г сахара": "пять граммов сахара",
        "1-й, 2-я, 3-го": "первый, вторая, третьего",
    },
    "tr": {
        "2024": "iki bin yirmi dört",
        "%3,5": "yüzde üç virgül beş",
        "19. yüzyıl": "on dokuzuncu yüzyıl",
        "saat 10.30'da": "saat on otuz'da",
        "1998'de": "bin dokuz yüz doksan sekiz'de",
    },
    "ar": {"٣٫ 10:30": "ثلاثة٫ عشرة و ثلاثون دقيقة", "5%": "خمسة بالمئة"},
    "hi": {
        "1,25,000": "एक लाख पच्चीस हज़ार",
        "२२ किमी": "बाईस किलोमीटर",
        "5वीं": "पाँचवीं",
        "10:30 बजे": "दस बजकर तीस मिनट",
        "3.05": "तीन दशमलव शून्य पाँच",
    },
    "zh": {
        "1998年10月3日": "一九九八年十月三日",
        "10010, 105, 20": "一万零一十, 一百零五, 二十",
        "3.5%": "百分之三点五",
        "3/4": "四分之三",
        "-5℃": "负五摄氏度",
    },
    "ja": {"第3回、3.5%": "第三回、三点五パーセント", "¥520": "五百二十円"},
    "ko": {"10월 3일, 6월": "시월 삼일, 유월", "3시 30분": "세시 삼십분", "22km": "이십이 킬로미터"},
    "nl": {"3,50 en 1.250": "drie komma vijftig en duizendtweehonderdvijftig"},
}


@pytest.mark.parametrize(
    ("language", "text", "words"),
    [(language, text, words) for language, rows in TABLE.items() for text, words in rows.items()],
)
def test_tables(language: str, text: str, words: str) -> None:
    assert spell(text, language) == words


def test_every_language_of_the_sources_has_a_table() -> None:
    assert set(PARAGRAPHS) <= set(TABLE)
    assert set(PARAGRAPHS) <= COUNTED


@pytest.mark.parametrize("language", sorted(PARAGRAPHS))
def test_the_paragraphs_have_no_digits_afterwards_and_end_as_before(language: str) -> None:
    for sentence in PARAGRAPHS[language]:
        said = spell(sentence, language)
        assert not re.search(r"\d", said)
        assert said.rstrip()[-1] == sentence.rstrip()[-1]


_texts = st.text("0123456789.,:/-–% °$€kmghXIV.aА年월ª½²٣३+()s", max_size=40)


@settings(max_examples=400, deadline=None)
@given(_texts, st.sampled_from(sorted(COUNTED)))
def test_no_digit_is_left_and_nothing_is_raised(text: str, language: str) -> None:
    assert not re.search(r"\d", spell(text, language))


@given(st.text(max_size=60), st.sampled_from(["en", "de-AT", "ru", "zh", "xx", ""]))
def test_no_text_stops_it(text: str, language: str) -> None:
    spell(text, language)


@given(st.text("abcé ,!?«»", max_size=40), st.sampled_from(sorted(COUNTED)))
def test_a_text_without_numbers_and_abbreviations_stays(text: str, language: str) -> None:
    assert spell(text, language) == text


def test_an_uncounted_language_keeps_its_digits() -> None:
    assert spell("1998", "xx") == "1998"


def test_long_numbers_are_read_digit_by_digit() -> None:
    assert spell("9" * 20, "en") == " ".join(["nine"] * 20)
    assert len(spell("1" * 6000, "pl").split()) == 6000


@pytest.mark.parametrize("base", sorted(COUNTED))
def test_every_language_counts_as_far_as_it_says(base: str) -> None:
    for power in range(15):
        for number in (10**power, 10**power * 9 + power):
            for words in (cardinal(number, base), ordinal(number, base)):
                assert words
                assert not re.search(r"[\d,]", words)
    assert year(1905, base)
    assert cardinal(0, base)


def test_roman_numerals() -> None:
    values = {"I": 1, "IV": 4, "XIV": 14, "XL": 40, "MCMXCIX": 1999, "IIII": 0, "": 0, "VX": 0, "ABC": 0}
    assert {text: roman(text) for text in values} == values


def test_the_users_word_wins() -> None:
    lexicon = Lexicon([Entry("1984", "the book 84"), Entry("km", "klicks")])
    form = spoken_form("1984: 3 km", "en", lexicon, spells_numbers=True)
    assert form is not None
    assert form.text == "the book 84: three klicks"
    assert spoken_form("no number", "en", lexicon, spells_numbers=True) is None


@pytest.mark.process
def test_without_the_library_digits_stay_and_the_remedy_is_told() -> None:
    code = (
        "import sys, importlib.util as u; find = u.find_spec;"
        "u.find_spec = lambda name, package=None: None if name == 'num2words' else find(name, package);"
        "from voiced.text.numbers import spell; assert spell('3 km', 'en') == '3 km';"
        "assert spell('3 km', 'en') == '3 km'; assert spell('3', 'zh') == '三'"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, timeout=60, capture_output=True)
    assert done.stderr.count(b"voiced[models]") == 1
