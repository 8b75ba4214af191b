"""The schema of the protocol, all of it: requests, replies, events, and the values inside them.

Requests are verbs, replies are nouns, events are past tense. Every request carries a `request_id` made
by the client; every reply repeats it; events carry a `sequence` and the job they belong to. A message
grows by new fields with defaults: no field changes its type or its name. Unknown fields pass.

Units end the names: `_s` seconds, `_ms` milliseconds, `_hz`, `_bytes`, `_samples`, `_chars` (Unicode code
points); shares end in `_fraction` and lie in [0, 1]. Stamps are ISO 8601 in UTC. Only `codec` turns these
into bytes.
"""

import os
from enum import Enum
from typing import Annotated, ClassVar, TypeVar

from msgspec import Meta, Struct

PROTOCOL_VERSION = 1
PROTOCOL_TAG = b"voiced/%d" % PROTOCOL_VERSION

MAX_TEXT_BYTES = 768 * 1024
"""Greatest text payload, UTF-8 bytes. Longer texts travel as an incoming file."""
MAX_CHUNK_BYTES = 64 * 1024
"""Greatest audio payload of one `AudioChunk`."""

_Root = TypeVar("_Root", bound=Struct)

RequestId = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_-]{16,64}\Z")]
Name = Annotated[str, Meta(max_length=200)]
Seconds = Annotated[float, Meta(ge=0.0, le=1e9)]
KeepAlive = Annotated[float, Meta(ge=-1.0, le=1e9)]
Count = Annotated[int, Meta(ge=0, le=2**53)]
PageSize = Annotated[int, Meta(ge=1, le=200)]


class Lane(Enum):
    """Who goes first: a higher lane takes the worker at the next segment."""

    INTERACTIVE = "interactive"
    NORMAL = "normal"
    BATCH = "batch"


class Output(Enum):
    """Where the audio goes: to the requester in chunks, or into a file of the audio folder."""

    STREAM = "stream"
    FILE = "file"


class OnLongText(Enum):
    """What happens with text over the limit of the hardware."""

    SPLIT = "split"
    TRUNCATE = "truncate"


class Subtitles(Enum):
    """Which subtitle file accompanies the audio."""

    NONE = "none"
    VTT = "vtt"
    SRT = "srt"


class Chapters(Enum):
    """What becomes of the chapters of a document."""

    ONE_FILE = "one-file"
    """Marks in the one file, where its format has such."""
    FOLDER = "folder"
    """A file for each, in a folder of the document's name."""


class JobState(Enum):
    """The life of a job: forward only, but for `failed` that a retry makes `queued` again."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    FINISHING = "finishing"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens by itself."""
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


class Health(Enum):
    """The daemon in one word."""

    OK = "ok"
    DEGRADED = "degraded"
    STOPPING = "stopping"


class ModelState(Enum):
    """Where a model stands."""

    MISSING = "missing"
    """Known, and its files are not here."""
    AVAILABLE = "available"
    LOADING = "loading"
    LOADED = "loaded"
    BROKEN = "broken"


def new_id() -> str:
    """Return a fresh request id; those of `Synthesize` become job ids."""
    return os.urandom(16).hex()


# -- values inside messages ---------------------------------------------------------------------------


class JobInfo(Struct, frozen=True, kw_only=True):
    """A job as a client sees it."""

    job_id: str
    state: JobState
    lane: Lane
    output: Output
    name: str
    """What people call it: the file's name, or the first words' count; never the text."""
    model: str
    voice: str
    language: str
    device: str
    """Device really used; empty before the first segment."""
    format: str
    chars: int
    segments: int
    segments_done: int
    audio_s: float
    """Seconds of audio made so far."""
    created: str
    updated: str
    elapsed_s: float
    """Seconds of work so far."""
    eta_s: float | None
    """Seconds until done as far as learnt; None while unknown."""
    rtf: float | None
    """Real-time factor so far: seconds of work per second of audio."""
    first_audio_ms: float | None
    """From acceptance to the first audio of the job."""
    path: str
    """The finished file; empty until there is one."""
    words_spoken: int
    words_missed: int
    """Words of the text for which the engine reported no speech; 0 where the engine does not tell."""
    error_code: str
    error: str
    notes: list[str] = []
    """What was decided for the caller: fallbacks, redone segments, kept faults."""
    precision: str = ""
    """Precision really used; empty before the first segment."""
    faulty_segments: int = 0
    """Segments in which something is heard to be wrong, also after a second take; the notes name the first of them."""


class VoiceInfo(Struct, frozen=True, kw_only=True):
    """A voice of a model."""

    voice: str
    """The id to ask for."""
    name: str
    model: str
    language: str
    """BCP 47 tag of its first language."""
    languages: list[str] = []
    gender: str = ""
    kind: str = "speaker"
    """`speaker`: the model's own; `prompt`: added from a recording; `description`: added from words."""
    references: int = 0
    """Recordings that it was made of."""
    reference_s: float = 0.0
    """Their length together, in seconds."""
    description: str = ""


class ModelInfo(Struct, frozen=True, kw_only=True):
    """A model that the daemon knows."""

    model: str
    engine: str
    state: ModelState
    device: str
    licence: str
    sample_rate_hz: int
    workers: int = 0
    rss_bytes: int = 0
    detail: str = ""
    """Why it is broken, what it waits for; where all is well, what it is."""
    family: str = ""
    """The overlay that brings its engine; empty = the main environment."""
    identity: str = "speaker"
    """What makes its voices: `speaker`, `prompt` or `description`."""
    is_noncommercial: bool = False
    installed_bytes: int = 0
    """Of its files on disk; 0 = none are here."""
    needs_bytes: int = 0
    """Memory that it takes loaded: estimated, or measured on this machine."""
    device_bytes: int = 0
    """Memory on a GPU that its workers hold."""
    precision: str = ""
    """Of what is loaded."""
    load_fraction: float = 0.0
    """How far a load is."""
    unloads_in_s: float | None = None
    """Seconds until it goes if nobody uses it; None = it does not go by itself, or is not loaded."""


class GpuSample(Struct, frozen=True, kw_only=True):
    """One GPU at one moment; None = not known."""

    index: int
    name: str
    utilisation_fraction: float | None = None
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    temperature_c: float | None = None
    compute_capability: str = ""
    is_asleep: bool = False
    """The GPU is powered down and was not woken to be asked."""


class LoadInfo(Struct, frozen=True, kw_only=True):
    """The load of the machine at one moment, without our own part where that is known."""

    taken: str
    cpu_fraction: float
    own_cpu_fraction: float
    memory_fraction: float
    memory_available_bytes: int
    own_memory_bytes: int
    gpus: list[GpuSample] = []
    is_throttled: bool = False
    nvml: str = ""
    """`ok`, or why GPUs cannot be read."""


class LockInfo(Struct, frozen=True, kw_only=True):
    """The device lock in force."""

    device: str
    """`auto`, `cpu`, `cuda`, `cuda:N` or `mps`."""
    until: str | None = None
    """When it ends by itself; None = when it is set again."""
    pid: int | None = None
    """It ends with this process."""


class DecisionInfo(Struct, frozen=True, kw_only=True):
    """One decision of the device selector, with what it saw."""

    taken: str
    model: str
    device: str
    should_switch: bool
    rule: str
    reason: str
    load: LoadInfo | None = None


class HardwareInfo(Struct, frozen=True, kw_only=True):
    """What the machine is."""

    tier: str
    cpu_model: str
    physical_cores: int
    logical_cores: int
    memory_bytes: int
    gpu_name: str = ""
    gpu_memory_bytes: int = 0
    compute_capability: str = ""
    is_wsl: bool = False


class DropFolderInfo(Struct, frozen=True, kw_only=True):
    """The drop folder."""

    path: str
    is_watched: bool
    is_paused: bool = False
    """Somebody paused it: files are seen and not taken."""
    waiting: int = 0
    """Files seen and not yet taken."""
    reading: list[str] = []
    """Files that were taken and are being read: they are jobs in a moment."""
    detail: str = ""
    """What is wrong and what to do; empty when all is well."""


class CacheStats(Struct, frozen=True, kw_only=True):
    """A cache in four numbers."""

    enabled: bool = False
    size: int = 0
    """Entries."""
    hits: int = 0
    misses: int = 0


class CacheInfo(Struct, frozen=True, kw_only=True):
    """A cache with its bounds."""

    cache: str
    """`prompts` or `weights`."""
    path: str
    entries: int
    size_bytes: int
    limit_bytes: int
    hits: int
    misses: int
    """Since the start of the daemon."""
    last_miss: str = ""
    """Why the last miss was one."""


class TipInfo(Struct, frozen=True, kw_only=True):
    """One hint."""

    topic: str
    """`voices`, `text`, `emotion`, `speed` or `machine`."""
    text: str


class CacheEntry(Struct, frozen=True, kw_only=True):
    """One entry of a cache."""

    cache: str
    key: str
    model: str
    """The model really loaded when it was made."""
    voice: str
    size_bytes: int
    used: str
    """When it was last used."""


class VoiceReference(Struct, frozen=True, kw_only=True):
    """A recording that the client put into the incoming folder."""

    incoming: Name
    transcript: Annotated[str, Meta(max_length=4000)] = ""
    """What is said in it; engines that clone do it better where they know."""


# -- requests -----------------------------------------------------------------------------------------


class Request(Struct, frozen=True, kw_only=True, tag_field="type"):
    """The base of all requests."""

    on_control: ClassVar[bool] = False
    """Whether it changes the daemon and so belongs to the control socket."""
    on_speech: ClassVar[bool] = True
    """Whether the speech socket takes it."""

    request_id: RequestId


class ControlRequest(Request, frozen=True, kw_only=True):
    """The base of requests that change the daemon: the control socket alone takes them."""

    on_control: ClassVar[bool] = True
    on_speech: ClassVar[bool] = False


class SharedRequest(Request, frozen=True, kw_only=True):
    """The base of requests that both sockets take."""

    on_control: ClassVar[bool] = True


class Synthesize(Request, frozen=True, kw_only=True, tag="synthesize"):
    """Speak the payload (UTF-8 text), or the incoming file; `request_id` becomes the job's id."""

    output: Output = Output.STREAM
    incoming: Name = ""
    """Id of a document that the client put into the incoming folder, instead of a payload."""
    name: Name = ""
    """File name of the document or of the output, without folders; gives the output its name."""
    model: Name = ""
    """Empty = the configured one."""
    voice: Name = ""
    """Empty = the configured one, or the model's voice for the language."""
    language: Name = ""
    """BCP 47 tag; empty = the voice's, or detected from the text."""
    format: Name = ""
    """File format of a `file` job; a stream is always PCM s16le."""
    sample_rate_hz: Annotated[int, Meta(ge=0, le=192_000)] = 0
    """0 = the engine's own rate."""
    speed: Annotated[float, Meta(ge=0.25, le=4.0)] = 1.0
    pitch: Annotated[float, Meta(ge=0.0, le=2.0)] = 1.0
    volume: Annotated[float, Meta(ge=0.0, le=2.0)] = 1.0
    seed: Annotated[int, Meta(ge=0, le=2**32 - 1)] | None = None
    """None = derived from the request id."""
    lane: Lane | None = None
    """None = interactive for a stream, normal for a file."""
    description: Annotated[str, Meta(max_length=1000)] = ""
    """The voice in words, for models that make it from words; the manner of speaking for some others."""
    device: Name = ""
    """Device of this request only; empty = as decided."""
    keep_alive_s: KeepAlive | None = None
    """How long the model stays loaded after it; -1 = for ever, None = as configured."""
    on_long_text: OnLongText = OnLongText.SPLIT
    subtitles: Subtitles = Subtitles.NONE
    chapters: Chapters = Chapters.ONE_FILE
    loudness_lufs: Annotated[float, Meta(ge=-40, le=0)] | None = None
    """EBU R 128 loudness of the whole file; 0 = as it is, None = as configured."""
    credit_bytes: Count = 1024 * 1024
    """Audio that may be sent before the first `Credit`."""


class Credit(Request, frozen=True, kw_only=True, tag="credit"):
    """Allow more audio of a stream. The one request that is not answered when all is well."""

    job_id: RequestId
    credit_bytes: Count


class Cancel(SharedRequest, frozen=True, kw_only=True, tag="cancel"):
    """End a job; its audio stops within 500 ms."""

    job_id: RequestId


class Pause(ControlRequest, frozen=True, kw_only=True, tag="pause"):
    """Hold one job, the drop folder, or the whole daemon after the running segments; kept over restarts."""

    job_id: RequestId | None = None
    is_drop: bool = False
    """The drop folder: files wait in it, jobs go on."""


class Resume(ControlRequest, frozen=True, kw_only=True, tag="resume"):
    """Go on with one job, with the drop folder, or with the whole daemon."""

    job_id: RequestId | None = None
    is_drop: bool = False
    """The drop folder."""


class RetryJob(ControlRequest, frozen=True, kw_only=True, tag="retry-job"):
    """Go on with a failed job where it stopped."""

    job_id: RequestId


class GetStatus(SharedRequest, frozen=True, kw_only=True, tag="get-status"):
    """Ask for the whole truth in one document."""


class GetJob(SharedRequest, frozen=True, kw_only=True, tag="get-job"):
    """Ask for one job."""

    job_id: RequestId


class ListJobs(SharedRequest, frozen=True, kw_only=True, tag="list-jobs"):
    """Ask for jobs, newest first, a page at a time."""

    states: list[JobState] = []
    """Empty = all."""
    before: Name = ""
    """`next` of the page before; empty = from the newest."""
    limit: PageSize = 50


class ListModels(SharedRequest, frozen=True, kw_only=True, tag="list-models"):
    """Ask for the models."""


class LoadModel(ControlRequest, frozen=True, kw_only=True, tag="load-model"):
    """Load a model ahead of its first use."""

    model: Name
    device: Name = ""
    keep_alive_s: KeepAlive | None = None


class UnloadModel(ControlRequest, frozen=True, kw_only=True, tag="unload-model"):
    """Unload a model and give its memory back."""

    model: Name


class ListVoices(SharedRequest, frozen=True, kw_only=True, tag="list-voices"):
    """Ask for voices, a page at a time."""

    model: Name = ""
    language: Name = ""
    """A tag or the beginning of one: `en` finds `en-GB`."""
    after: Name = ""
    """`next` of the page before; empty = from the first."""
    limit: PageSize = 100


class AddVoice(ControlRequest, frozen=True, kw_only=True, tag="add-voice"):
    """Make a voice of recordings in the incoming folder, or of a description."""

    voice: Name
    references: Annotated[list[VoiceReference], Meta(max_length=16)] = []
    """Several make one voice where the engine can blend."""
    description: Annotated[str, Meta(max_length=1000)] = ""
    language: Name = ""
    """BCP 47 tag of what is said in them; empty = unknown."""
    replace: bool = False
    """Put it in the place of a voice of the same name."""


class RemoveVoice(ControlRequest, frozen=True, kw_only=True, tag="remove-voice"):
    """Remove a voice that was added."""

    voice: Name


class SetDeviceLock(ControlRequest, frozen=True, kw_only=True, tag="set-device-lock"):
    """Say on which device everything runs; kept over restarts."""

    device: Annotated[str, Meta(pattern=r"\A(auto|cpu|mps|cuda(:[0-9]{1,2})?)\Z")]
    """`auto`, `cpu`, `cuda`, `cuda:N` or `mps`."""
    for_s: Seconds | None = None
    """Seconds until the lock ends by itself; None holds it until it is set again."""
    until_pid: Annotated[int, Meta(ge=1, le=2**31)] | None = None
    """The lock ends with this process."""


class ExplainDevice(SharedRequest, frozen=True, kw_only=True, tag="explain-device"):
    """Ask why everything runs where it runs."""

    limit: PageSize = 20


class EstimateMemory(SharedRequest, frozen=True, kw_only=True, tag="estimate-memory"):
    """Ask whether a text of this length fits into memory."""

    model: Name = ""
    chars: Count = 1000


class OptimizeForHardware(ControlRequest, frozen=True, kw_only=True, tag="optimize-for-hardware"):
    """Clear caches, look at the machine again, suggest settings."""


class GetCacheStats(SharedRequest, frozen=True, kw_only=True, tag="get-cache-stats"):
    """Ask for the caches' statistics."""


class ListCache(SharedRequest, frozen=True, kw_only=True, tag="list-cache"):
    """Ask for the entries of the caches, last used first, a page at a time."""

    cache: Name = ""
    """Empty = all."""
    after: Name = ""
    """`next` of the page before; empty = from the first."""
    limit: PageSize = 100


class ClearCache(ControlRequest, frozen=True, kw_only=True, tag="clear-cache"):
    """Empty a cache; what is needed again is made again."""

    cache: Name = ""
    """Empty = all."""


class GetMetrics(SharedRequest, frozen=True, kw_only=True, tag="get-metrics"):
    """Ask for the metrics as Prometheus text."""


class GetTips(SharedRequest, frozen=True, kw_only=True, tag="get-tips"):
    """Ask for guidance on voices, texts and hardware."""


class Reload(ControlRequest, frozen=True, kw_only=True, tag="reload"):
    """Read the configuration again."""


class Shutdown(ControlRequest, frozen=True, kw_only=True, tag="shutdown"):
    """Stop the daemon; durable jobs go on after the next start."""

    restart: bool = False
    """Exit so that the service manager starts it again."""


# -- replies ------------------------------------------------------------------------------------------


class Reply(Struct, frozen=True, kw_only=True, tag_field="type"):
    """The base of all replies."""

    request_id: str


class Accepted(Reply, frozen=True, kw_only=True, tag="accepted"):
    """The job stands: for a file it is on disk, for a stream audio follows."""

    job_id: str
    output: Output
    model: str
    voice: str
    language: str
    device: str
    precision: str
    sample_rate_hz: int
    channels: int
    chars: int
    """Characters that will be spoken."""
    segments: int
    original_chars: int
    """Characters that were given."""
    is_truncated: bool = False
    """Only where `on_long_text` asked for it."""
    tier: str = ""
    """Hardware tier of this machine."""
    max_text_chars: int = 0
    """Greatest text that `truncate` keeps on this hardware; 0 = no limit."""
    notes: list[str] = []
    """What differs from the request, and why."""


class AudioChunk(Reply, frozen=True, kw_only=True, tag="audio-chunk"):
    """A piece of a stream; the payload is PCM, signed 16 bit little-endian, mono."""

    job_id: str
    sequence: int
    """0, 1, 2 ... without a gap."""


class Progress(Reply, frozen=True, kw_only=True, tag="progress"):
    """A stream is alive, and how far it is; before `Accepted`: its model is being loaded, to know what it can do."""

    job_id: str
    segments: int
    segments_done: int
    audio_s: float


class Done(Reply, frozen=True, kw_only=True, tag="done"):
    """The last message of a stream."""

    job: JobInfo
    samples: int
    """Samples sent: the sum of the trimmed segments and of the pauses between them."""


class JobReply(Reply, frozen=True, kw_only=True, tag="job"):
    """One job."""

    job: JobInfo


class Jobs(Reply, frozen=True, kw_only=True, tag="jobs"):
    """A page of jobs."""

    jobs: list[JobInfo]
    next: str = ""
    """`before` for the next page; empty = this was the last."""


class Voices(Reply, frozen=True, kw_only=True, tag="voices"):
    """A page of voices."""

    voices: list[VoiceInfo]
    next: str = ""


class VoiceReply(Reply, frozen=True, kw_only=True, tag="voice"):
    """The voice stands."""

    voice: VoiceInfo
    notes: list[str] = []
    """What would make it better."""


class Caches(Reply, frozen=True, kw_only=True, tag="caches"):
    """The caches."""

    caches: list[CacheInfo]


class CacheEntries(Reply, frozen=True, kw_only=True, tag="cache-entries"):
    """A page of entries."""

    entries: list[CacheEntry]
    next: str = ""


class MemoryEstimate(Reply, frozen=True, kw_only=True, tag="memory-estimate"):
    """Whether a text of this length fits into memory."""

    model: str
    device: str
    estimate_bytes: int
    available_bytes: int
    is_safe: bool
    is_measured: bool
    """From what this machine measured; else from the catalogue."""
    recommendation: str
    best_chars: int
    """Greatest segment that is safe here."""


class Tips(Reply, frozen=True, kw_only=True, tag="tips"):
    """What helps on this machine, topic by topic."""

    tips: list[TipInfo]


class Models(Reply, frozen=True, kw_only=True, tag="models"):
    """The models."""

    models: list[ModelInfo]


class Status(Reply, frozen=True, kw_only=True, tag="status"):
    """The whole truth."""

    status: Health
    device: str
    """Where the next segment of the default model would run."""
    version: str
    pid: int
    started: str
    uptime_s: float
    is_paused: bool
    lock: LockInfo
    system_info: HardwareInfo
    cache_stats: CacheStats
    load: LoadInfo | None
    models: list[ModelInfo]
    jobs: list[JobInfo]
    """Unfinished jobs, at most 50."""
    queued: int
    running: int
    finished: int
    """Jobs finished since the start."""
    drop_folder: DropFolderInfo
    audio_folder: str
    failed_folder: str
    """Dropped texts that could not be spoken, with the reason."""
    incoming_folder: str
    """Where clients put documents for `Synthesize.incoming`."""
    problems: list[str] = []
    """What is wrong and how to mend it; configuration mistakes too."""
    loop_lag_ms: float = 0.0
    """Worst lateness of the daemon's loop in the last minute."""


class DeviceExplanation(Reply, frozen=True, kw_only=True, tag="device-explanation"):
    """The lock, and the last decisions with what they saw."""

    lock: LockInfo
    decisions: list[DecisionInfo]


class Acknowledged(Reply, frozen=True, kw_only=True, tag="acknowledged"):
    """It was done."""

    message: str = ""


class ErrorReply(Reply, frozen=True, kw_only=True, tag="error"):
    """It was not done. `request_id` is empty where the request's could not be read."""

    code: str
    message: str


# -- events -------------------------------------------------------------------------------------------


class Event(Struct, frozen=True, kw_only=True, tag_field="type"):
    """The base of all events. They may be lost: `GetStatus` gives the whole truth again."""

    sequence: int
    """Grows by one with every event of this daemon; a gap means that some were lost."""


class JobEvent(Event, frozen=True, kw_only=True):
    """The base of events about a job."""

    job: JobInfo


class JobAccepted(JobEvent, frozen=True, kw_only=True, tag="job-accepted"):
    """A job stands in the queue."""


class JobStarted(JobEvent, frozen=True, kw_only=True, tag="job-started"):
    """The first segment of a job is being spoken."""


class SegmentFinished(JobEvent, frozen=True, kw_only=True, tag="segment-finished"):
    """A job has come further; at most four a second for each job."""


class JobFinished(JobEvent, frozen=True, kw_only=True, tag="job-finished"):
    """A job is done."""


class JobFailed(JobEvent, frozen=True, kw_only=True, tag="job-failed"):
    """A job has stopped; the job says why."""


class JobWasCancelled(JobEvent, frozen=True, kw_only=True, tag="job-was-cancelled"):
    """Somebody cancelled a job."""


class FileRefused(Event, frozen=True, kw_only=True, tag="file-refused"):
    """A dropped file could not become a job; it lies in the failed folder with the reason."""

    path: str
    message: str


class ModelLoading(Event, frozen=True, kw_only=True, tag="model-loading"):
    """A load goes on."""

    model: str
    device: str
    fraction: float
    what: str
    """What was done last."""


class ModelLoaded(Event, frozen=True, kw_only=True, tag="model-loaded"):
    """A model is ready."""

    model: str
    device: str
    load_s: float
    precision: str = ""


class ModelUnloaded(Event, frozen=True, kw_only=True, tag="model-unloaded"):
    """A model was unloaded."""

    model: str
    reason: str


class WorkerReplaced(Event, frozen=True, kw_only=True, tag="worker-replaced"):
    """A worker crashed, hung or grew and was replaced."""

    model: str
    reason: str


class LeakSuspected(Event, frozen=True, kw_only=True, tag="leak-suspected"):
    """A model was unloaded and its memory did not come back."""

    model: str
    device: str
    missing_bytes: int


class DeviceSwitched(Event, frozen=True, kw_only=True, tag="device-switched"):
    """A model runs on another device."""

    model: str
    old: str
    new: str
    reason: str


class DeviceLockChanged(Event, frozen=True, kw_only=True, tag="device-lock-changed"):
    """The device lock was set, or ended."""

    lock: LockInfo
    reason: str


class PauseChanged(Event, frozen=True, kw_only=True, tag="pause-changed"):
    """The daemon was paused or resumed."""

    is_paused: bool


class LoadChanged(Event, frozen=True, kw_only=True, tag="load-changed"):
    """A sample of the load monitor."""

    load: LoadInfo


class Stopping(Event, frozen=True, kw_only=True, tag="stopping"):
    """The daemon is going."""

    reason: str


def _leaves(root: type[_Root]) -> list[type[_Root]]:
    """The tagged classes below `root`, in the order of their definition."""
    children = root.__subclasses__()
    return [leaf for child in children for leaf in _leaves(child)] if children else [root]


REQUESTS = tuple(_leaves(Request))
REPLIES = tuple(_leaves(Reply))
EVENTS = tuple(_leaves(Event))


def tag_of(message: type[Struct]) -> str:
    """Return the value of the field `type` that names a message class on the wire."""
    return str(message.__struct_config__.tag)
