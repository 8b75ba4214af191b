"""The language of an MMS model as others name it: from ISO 639-3 to BCP 47. Pure."""

_SHORT = """
aar:aa abk:ab afr:af aka:ak als:sq amh:am ara:ar arb:ar asm:as ava:av aym:ay azb:az azj:az bak:ba bam:bm bel:be
ben:bn bod:bo bul:bg cat:ca ces:cs che:ce chv:cv cmn:zh cor:kw cym:cy dan:da deu:de div:dv dzo:dz ekk:et ell:el eng:en
epo:eo est:et eus:eu ewe:ee fao:fo fas:fa fij:fj fin:fi fra:fr fry:fy ful:ff gaz:om gle:ga glg:gl grn:gn guj:gu hat:ht
hau:ha heb:he hin:hi hrv:hr hun:hu hye:hy ibo:ig ind:id isl:is ita:it jav:jv jpn:ja kan:kn kat:ka kaz:kk khk:mn khm:km
kik:ki kin:rw kir:ky kmr:ku kor:ko lao:lo lat:la lav:lv lin:ln lit:lt ltz:lb lug:lg lvs:lv mal:ml mar:mr mkd:mk mlg:mg
mlt:mt mon:mn mri:mi mya:my nep:ne nld:nl nno:nn nob:nb npi:ne nya:ny oci:oc ori:or orm:om ory:or oss:os pan:pa pbt:ps
pes:fa plt:mg pol:pl por:pt pus:ps quy:qu ron:ro run:rn rus:ru sag:sg san:sa sin:si slk:sk slv:sl sme:se smo:sm sna:sn
snd:sd som:so sot:st spa:es sqi:sq srp:sr ssw:ss sun:su swa:sw swe:sv swh:sw tah:ty tam:ta tat:tt tel:te tgk:tg tgl:tl
tha:th tir:ti ton:to tsn:tn tso:ts tuk:tk tur:tr twi:tw uig:ug ukr:uk urd:ur uzb:uz uzn:uz ven:ve vie:vi wol:wo xho:xh
ydd:yi yid:yi yor:yo yue:yue zho:zh zlm:ms zsm:ms zul:zu
"""
"""ISO 639-1 codes of the registry of language subtags; members of a macrolanguage go by its code, as people ask."""
_SHORTER = dict(pair.split(":") for pair in _SHORT.split())

_SCRIPTS = {
    "arabic": "Arab",
    "bengali": "Beng",
    "cyrillic": "Cyrl",
    "devanagari": "Deva",
    "greek": "Grek",
    "gujarati": "Gujr",
    "hebrew": "Hebr",
    "khmer": "Khmr",
    "latin": "Latn",
    "tamil": "Taml",
    "telugu": "Telu",
    "thai": "Thai",
    "tibetan": "Tibt",
}


def language_tag(code: str) -> str:
    """Return the BCP 47 tag of an MMS language.

    Args:
        code: ISO 639-3, with `-script_latin` or `-dialect_...` behind it in some; empty gives empty.

    A code without a shorter one is a BCP 47 tag as it is; dialects have none and are left out.
    """
    language, _, variety = code.lower().partition("-")
    script = _SCRIPTS.get(variety.removeprefix("script_"), "")
    tag = _SHORTER.get(language, language)
    return f"{tag}-{script}" if script and variety.startswith("script_") else tag
