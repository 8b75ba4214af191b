"""What a model needs from the disk before a worker of it is started: its files, its engine's packages, its cache."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from voiced.models.ability_cache import AbilityCache
from voiced.models.apple import MlxChoice, on_apple
from voiced.models.catalogue import CATALOGUE, find_spec
from voiced.models.library import Library, folder_name
from voiced.models.overlay import FAMILIES, Overlays
from voiced.models.rates import with_own_rate
from voiced.models.spec import ModelSpec
from voiced.workers.spawn import Files
from voiced_ipc.errors import UnknownModel


class Shelf:
    """The models, the engine families and the weight cache of this computer.

    Args:
        models: The model library's folder.
        overlays: The engine overlays' folder.
        weights: The weight cache.
    """

    def __init__(self, models: Path, overlays: Path, weights: Path) -> None:
        self.library = Library(models)
        self.overlays = Overlays(overlays)
        self.is_apple = False
        """Whether this machine has one of Apple's chips."""
        self._abilities = AbilityCache(weights.parent / "abilities")
        self._models = models
        self._weights = weights

    def choose(self, model: str) -> MlxChoice:
        """Return the model that serves a request on this machine, and a warning where it is another size.

        Only Apple's chips have such: see `voiced.models.apple`.
        """
        spec = find_spec(model)
        if not self.is_apple or spec is None:
            return MlxChoice(model)
        return on_apple(spec.model, CATALOGUE, {one.spec.model for one in self.library.installed()})

    def spec(self, model: str) -> ModelSpec:
        """Return what is known of a model that could be loaded; a look at the disk, no more.

        Raises:
            UnknownModel: If there is none of that id.
            ModelMissing: If its files are not here.
            ModelDamaged: If they cannot be what was installed.
        """
        spec = find_spec(self.choose(model).model)
        if spec is None:
            raise UnknownModel(f"no model {model!r}: `voiced models --all` lists what there is")
        if spec.is_embedded:
            return spec
        installed = self.library.find(spec.model) or self.library.check(spec.model)  # which says what to do
        # A smaller model of the same kind takes less than the published one.
        weights = min(spec.weights_bytes, installed.size_bytes)
        return with_own_rate(spec, installed.folder)._replace(weights_bytes=weights)

    def install(self, spec: ModelSpec) -> str:
        """Return what tells one install of a model's files from the next; empty = there is nothing to install."""
        installed = None if spec.is_embedded else self.library.find(spec.model)
        return "" if installed is None else f"{installed.manifest.revision} {installed.manifest.installed}"

    def abilities(self, spec: ModelSpec) -> dict[str, Any]:
        """Return what a model told when it was last ready; empty = not known."""
        install = self.install(spec)
        return self._abilities.read(folder_name(spec.model), install) if install else {}

    def keep_abilities(self, spec: ModelSpec, ready: Mapping[str, Any]) -> None:
        """Keep what a model told."""
        install = self.install(spec)
        if install:
            self._abilities.write(folder_name(spec.model), install, ready)

    def open(self, spec: ModelSpec) -> Files:
        """Return where a model's files are, looked over; may read gigabytes: call it on a thread.

        Raises:
            ModelMissing: If they are not here any more.
            ModelDamaged: If they are not those that were installed.
            EngineLoadFailed: If its engine's packages are not here.
        """
        family = spec.family or spec.engine
        overlay = self.overlays.path(family) if family in FAMILIES else None
        if spec.is_embedded:
            if not spec.has_folder:
                return Files(overlay=overlay)
            folder = self._models / spec.model
            folder.mkdir(parents=True, exist_ok=True)
            return Files(folder, overlay)
        installed = self.library.check(spec.model)
        cache = self._weights / installed.folder.parent.name
        return Files(installed.folder, overlay, cache, installed.manifest.revision)
