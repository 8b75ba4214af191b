"""Everything that can go wrong between a client and the daemon, as one tree.

::

    VoicedError                      code, message (what happened, what to do)
    |- DaemonUnavailable             nothing listens at the endpoint
    |- RequestTimeout                no answer within timeout_s
    |- ProtocolError
    |  |- MalformedMessage           not the frames, not msgpack, not the schema
    |  |- UnknownMessage             a verb that this daemon has never heard of
    |  |- VersionMismatch            another protocol tag
    |  `- NotServed                  a verb of the protocol that this daemon does not serve
    |- RequestRejected
    |  |- InvalidRequest             a field has a value that cannot be served
    |  |- IdReused                   the same request id with other content
    |  |- UnknownModel
    |  |- ModelMissing               known, and its files are not here: pull or import it
    |  |- UnknownVoice
    |  |- UnknownLanguage
    |  |- DocumentRefused            the text or document cannot be read
    |  |- ReferenceRefused           the recording cannot become a voice
    |  |- DeviceUnavailable          the device asked for is not there
    |  |- QueueFull                  try again later: nothing was accepted
    |  |- JobNotFound
    |  `- ShuttingDown               the daemon is stopping
    |- SynthesisFailed
    |  |- EngineLoadFailed
    |  |  `- ModelDamaged            its files are not those that were installed
    |  |- EngineCrashed              three attempts on fresh workers failed
    |  `- DeviceOutOfMemory
    |- StorageFailed                 disk full, read-only, input/output error
    |- StreamStalled                 the reader granted no credit for too long
    |- InternalError                 a fault of voiced itself; its log has the details
    `- JobCancelled                  somebody asked for it; not a failure

The daemon raises these, its server alone turns them into `ErrorReply`, and `Client` raises the same
class again. This module stays free of heavy imports.
"""

from enum import Enum


class ErrorCode(Enum):
    """The name of an error on the wire. One class for each, and the reverse."""

    VOICED_ERROR = "voiced-error"
    DAEMON_UNAVAILABLE = "daemon-unavailable"
    REQUEST_TIMEOUT = "request-timeout"
    PROTOCOL_ERROR = "protocol-error"
    MALFORMED_MESSAGE = "malformed-message"
    UNKNOWN_MESSAGE = "unknown-message"
    VERSION_MISMATCH = "version-mismatch"
    NOT_SERVED = "not-served"
    REQUEST_REJECTED = "request-rejected"
    INVALID_REQUEST = "invalid-request"
    ID_REUSED = "id-reused"
    UNKNOWN_MODEL = "unknown-model"
    MODEL_MISSING = "model-missing"
    UNKNOWN_VOICE = "unknown-voice"
    UNKNOWN_LANGUAGE = "unknown-language"
    DOCUMENT_REFUSED = "document-refused"
    REFERENCE_REFUSED = "reference-refused"
    DEVICE_UNAVAILABLE = "device-unavailable"
    QUEUE_FULL = "queue-full"
    JOB_NOT_FOUND = "job-not-found"
    SHUTTING_DOWN = "shutting-down"
    SYNTHESIS_FAILED = "synthesis-failed"
    ENGINE_LOAD_FAILED = "engine-load-failed"
    MODEL_DAMAGED = "model-damaged"
    ENGINE_CRASHED = "engine-crashed"
    DEVICE_OUT_OF_MEMORY = "device-out-of-memory"
    STORAGE_FAILED = "storage-failed"
    STREAM_STALLED = "stream-stalled"
    INTERNAL_ERROR = "internal-error"
    JOB_CANCELLED = "job-cancelled"


class VoicedError(Exception):
    """The base of all errors of voiced; `message` says what happened and what to do."""

    code: ErrorCode = ErrorCode.VOICED_ERROR

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class DaemonUnavailable(VoicedError):
    """Nothing listens at the endpoint."""

    code = ErrorCode.DAEMON_UNAVAILABLE


class RequestTimeout(VoicedError):
    """The daemon did not answer within the time that the caller allowed."""

    code = ErrorCode.REQUEST_TIMEOUT


class ProtocolError(VoicedError):
    """The two sides do not understand each other."""

    code = ErrorCode.PROTOCOL_ERROR


class MalformedMessage(ProtocolError):
    """The bytes are not the frames, not msgpack, or not the schema."""

    code = ErrorCode.MALFORMED_MESSAGE


class UnknownMessage(ProtocolError):
    """A verb that this daemon has never heard of."""

    code = ErrorCode.UNKNOWN_MESSAGE


class VersionMismatch(ProtocolError):
    """The peer speaks another version of the protocol; the message names both."""

    code = ErrorCode.VERSION_MISMATCH


class NotServed(ProtocolError):
    """A verb of the protocol that this daemon, or this socket, does not serve."""

    code = ErrorCode.NOT_SERVED


class RequestRejected(VoicedError):
    """The request was understood and refused; nothing was changed."""

    code = ErrorCode.REQUEST_REJECTED


class InvalidRequest(RequestRejected):
    """A field has a value that cannot be served."""

    code = ErrorCode.INVALID_REQUEST


class IdReused(RequestRejected):
    """The same request id came again with other content."""

    code = ErrorCode.ID_REUSED


class UnknownModel(RequestRejected):
    """No such model is installed."""

    code = ErrorCode.UNKNOWN_MODEL


class ModelMissing(RequestRejected):
    """The model is known and its files are not here; the message says how to get them."""

    code = ErrorCode.MODEL_MISSING


class UnknownVoice(RequestRejected):
    """The model has no such voice."""

    code = ErrorCode.UNKNOWN_VOICE


class UnknownLanguage(RequestRejected):
    """The model does not speak that language."""

    code = ErrorCode.UNKNOWN_LANGUAGE


class DocumentRefused(RequestRejected):
    """The text or document cannot be read; the message says why."""

    code = ErrorCode.DOCUMENT_REFUSED


class ReferenceRefused(RequestRejected):
    """The recording cannot become a voice; the message says what would do."""

    code = ErrorCode.REFERENCE_REFUSED


class DeviceUnavailable(RequestRejected):
    """The device that was asked for is not there, and strict mode forbids another."""

    code = ErrorCode.DEVICE_UNAVAILABLE


class QueueFull(RequestRejected):
    """The queue has no room; nothing was accepted, try again later."""

    code = ErrorCode.QUEUE_FULL


class JobNotFound(RequestRejected):
    """No job has that id."""

    code = ErrorCode.JOB_NOT_FOUND


class ShuttingDown(RequestRejected):
    """The daemon is stopping and takes no new work."""

    code = ErrorCode.SHUTTING_DOWN


class SynthesisFailed(VoicedError):
    """The engine could not speak the text."""

    code = ErrorCode.SYNTHESIS_FAILED


class EngineLoadFailed(SynthesisFailed):
    """The model could not be loaded."""

    code = ErrorCode.ENGINE_LOAD_FAILED


class ModelDamaged(EngineLoadFailed):
    """The model's files are not those that were installed; the message says how to mend it."""

    code = ErrorCode.MODEL_DAMAGED


class EngineCrashed(SynthesisFailed):
    """Every attempt at a segment ended in a crash, a hang or a failed check."""

    code = ErrorCode.ENGINE_CRASHED


class DeviceOutOfMemory(SynthesisFailed):
    """The device has not enough free memory for the model or the text."""

    code = ErrorCode.DEVICE_OUT_OF_MEMORY


class StorageFailed(VoicedError):
    """A file could not be written or read: disk full, read-only, input/output error."""

    code = ErrorCode.STORAGE_FAILED


class StreamStalled(VoicedError):
    """The reader of a stream granted no credit for too long."""

    code = ErrorCode.STREAM_STALLED


class InternalError(VoicedError):
    """A fault of voiced itself; the daemon's log has the details."""

    code = ErrorCode.INTERNAL_ERROR


class JobCancelled(VoicedError):
    """Somebody cancelled the job. Not a failure, and not logged as one."""

    code = ErrorCode.JOB_CANCELLED


def _tree(root: type[VoicedError]) -> list[type[VoicedError]]:
    return [root, *(cls for child in root.__subclasses__() for cls in _tree(child))]


ERROR_CLASSES: dict[ErrorCode, type[VoicedError]] = {cls.code: cls for cls in _tree(VoicedError)}
"""The one table from code to class."""


def error_for(code: str, message: str) -> VoicedError:
    """Return the error that `code` names; a code of a newer daemon becomes a plain VoicedError."""
    try:
        return ERROR_CLASSES[ErrorCode(code)](message)
    except ValueError:
        return VoicedError(f"{message} ({code})")
