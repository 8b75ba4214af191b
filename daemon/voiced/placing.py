"""How a model runs on a device: its precision, quantisation and compilation, from the presets, the settings and what
the model can. Pure.
"""

from voiced.config import Config
from voiced.devices.hardware import Hardware
from voiced.devices.presets import Wanted, choose_settings
from voiced.models.spec import ModelSpec
from voiced.workers.ground import Placing
from voiced.workers.spawn import RunAs


def wanted_of(config: Config) -> Wanted:
    """Return what the settings say of how models run."""
    return Wanted(
        precision=config.mixed_precision,
        quantization=config.quantization,
        torch_compile=config.torch_compile,
        threads=config.threads,
        segment_chars=config.segment_chars,
    )


def placing_of(spec: ModelSpec, device: str, hardware: Hardware, wanted: Wanted) -> Placing:
    """Return how a model runs on a device.

    Args:
        spec: The model.
        device: `cpu`, `cuda:N` or `mps`.
        hardware: The machine.
        wanted: What the settings say.
    """
    settings = choose_settings(hardware, device, wanted)
    notes = [] if spec.is_lean else list(settings.notes)
    precision = settings.precision
    if wanted.precision == "auto":
        precision = _native(spec, device, hardware, wanted, precision)
    if precision not in spec.precisions:
        if wanted.precision != "auto":
            notes.append(f"{spec.model} runs in {spec.precisions[0]}, not in {precision}")
        precision = spec.precisions[0]
    quantization = settings.quantization
    if quantization not in spec.quantizations or (quantization == "int8" and device != "cpu"):
        if wanted.quantization == quantization:
            notes.append(f"{spec.model} is not quantised: its engine has no {quantization} on {device}")
        quantization = spec.quantizations[0]
    if wanted.torch_compile in ("true", "force") and not (spec.can_compile or spec.is_lean):
        notes.append(f"{spec.model} is not compiled: its engine has no path for torch.compile")
    run = RunAs(
        device=device,
        precision=precision,
        quantization=quantization,
        is_compiled=settings.is_compiled and spec.can_compile and device.startswith("cuda"),
    )
    return Placing(run, tuple(notes))


def _native(spec: ModelSpec, device: str, hardware: Hardware, wanted: Wanted, usual: str) -> str:
    """The precision that nobody chose.

    On a CPU the model's own, measured to be the quickest. On a GPU the tier's; but weights that were made in bf16 stay
    in it where the GPU can: their range does not fit into fp16, and what overflows is noise.
    """
    own = spec.precisions[0]
    if device == "cpu":
        return own
    if own == "bf16" and device.startswith("cuda"):
        return choose_settings(hardware, device, wanted._replace(precision=own)).precision
    return usual
