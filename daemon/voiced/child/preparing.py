"""From a document or a text to its plan: what a scribe does before a job is accepted."""

from pathlib import Path
from typing import TYPE_CHECKING

from voiced.child.asks import Prepare
from voiced.child.durable import write_durably
from voiced.workers.link import MAX_PAYLOAD_BYTES, Fields
from voiced_ipc.errors import DocumentRefused

if TYPE_CHECKING:
    from voiced.text.lexicon_file import LexiconFile

_COVERS = {"image/jpeg": "cover.jpg", "image/png": "cover.png"}


def prepare(task: Prepare, payload: bytes, lexicons: "LexiconFile") -> tuple[Fields, bytes]:
    """Return the answer, and the plan where it is not put into a folder.

    Args:
        task: What is asked.
        payload: The text, where no file holds it.
        lexicons: Keeps the user's lexicon.

    Raises:
        DocumentRefused: If it cannot be read.
        OSError: If the disk refuses.
    """
    from voiced.segments import pack_plan
    from voiced.text.documents import Document, read_document
    from voiced.text.language import settle_language
    from voiced.text.plan import Limits, make_plan, truncate
    from voiced.text.spoken import spoken_forms

    if task.source:
        document = read_document(Path(task.source), task.max_document_bytes, name=task.name)
    else:
        document = Document(Path(task.name).stem, _decode(payload, is_cleaned=bool(task.folder)))
    text = truncate(document.text, task.truncate_chars) if task.truncate_chars else document.text
    language = task.language or settle_language(text, document.language, task.default_language)
    limits = Limits(task.max_chars, task.first_max_chars)
    chapters = [chapter for chapter in document.chapters if chapter.start < len(text)]
    plan = make_plan(text, language=language, limits=limits, chapters=chapters)
    lexicon = lexicons.get(Path(task.lexicon) if task.lexicon else None)
    packed = pack_plan(spoken_forms(plan, text, lexicon, spells_numbers=task.spells_numbers))
    cover = _COVERS[document.cover.media_type] if document.cover and task.folder else ""
    if task.folder:
        files = {"text": text.encode(), "plan": packed}
        if document.cover:
            files[cover] = document.cover.data
        write_durably(Path(task.folder), files)
    elif len(packed) > MAX_PAYLOAD_BYTES:
        raise DocumentRefused("The text is too long to be sent; hand it in as a file.")
    answer: Fields = {
        "type": "prepared",
        "task": task.task,
        "chars": len(text),
        "original_chars": len(document.text),
        "language": language,
        "segments": len(plan.segments),
        "title": document.title,
        "is_truncated": len(text) < len(document.text),
        "author": document.author,
        "document_language": document.language,
        "cover": cover,
    }
    return answer, b"" if task.folder else packed


def _decode(payload: bytes, *, is_cleaned: bool) -> str:
    from voiced.text.cleaning import clean
    from voiced.text.documents import refuse_empty

    try:
        text = payload.decode()
    except UnicodeDecodeError as error:
        raise DocumentRefused("The text is not UTF-8; send it as UTF-8, or as a file.") from error
    text = clean(text) if is_cleaned else text
    refuse_empty(text)
    return text
