"""`Sample`: X-ray images and everything that is true of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from synthray.errors import InputError
from synthray.geometry import Camera
from synthray.imaging import DisplayPreset, Dose, ImagingSettings, display


@dataclass(frozen=True, eq=False)
class Sample:
    """A batch of views of one scene; the first axis of every array is the view.

    Attributes:
        image: float32 (view, row, column), -ln(signal / open-field signal).
        transmission: float32 (view, row, column), signal / open-field signal.
        masks: structure -> bool (view, row, column).
        landmarks_px: landmark -> float64 (view, 2), (column, row); NaN behind the source.
        depth_mm: float32 (view, row, column), depth of the body's surface along the camera's z axis, NaN in air.
        cameras: the views.
        area_density: float32 (view, basis, row, column) g/cm².
        paths_mm: structure -> float32 (view, row, column), for the structures asked for.
        patient_name: who.
        realism: level of the simulation.
        seed: of the noise.
        settings: tube, dose and detector of each view.
        doses: what each view took; empty for the levels without a tube.
    """

    image: npt.NDArray[np.float32]
    transmission: npt.NDArray[np.float32]
    masks: Mapping[str, npt.NDArray[np.bool_]]
    landmarks_px: Mapping[str, npt.NDArray[np.float64]]
    depth_mm: npt.NDArray[np.float32] | None
    cameras: tuple[Camera, ...]
    area_density: npt.NDArray[np.float32]
    paths_mm: Mapping[str, npt.NDArray[np.float32]]
    patient_name: str
    realism: str
    seed: int
    settings: tuple[ImagingSettings, ...]
    doses: tuple[Dose, ...] = ()

    @property
    def camera(self) -> Camera:
        """The camera of a sample of one view.

        Raises:
            InputError: there are several views; use `cameras`.
        """
        if len(self.cameras) != 1:
            raise InputError(f"this sample has {len(self.cameras)} views; use .cameras")
        return self.cameras[0]

    @cached_property
    def visible(self) -> dict[str, npt.NDArray[np.bool_]]:
        """Landmark -> bool (view,): it projects onto the detector."""
        return {
            name: np.array([camera.contains(at) for camera, at in zip(self.cameras, pixels, strict=True)])
            for name, pixels in self.landmarks_px.items()
        }

    def display(self, preset: str | DisplayPreset = "c-arm") -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
        """(view, row, column) grey values for people and networks; see `imaging.display`."""
        return np.stack([display(view, preset) for view in self.image])

    def save(self, path: str | Path, *, preset: str | DisplayPreset = "c-arm", masks: bool = True) -> list[Path]:
        """Write pictures, masks and truth.

        `shot.png` gets `shot__STRUCTURE.png` (0/255) for every structure in view and `shot.json` (camera, landmarks,
        settings) beside it; with several views the names are `shot-0.png`, `shot-1.png`, ….

        Args:
            path: of the picture; .png or .tif.
            preset: display of the picture. A `.npy` path gets the float -log image instead.
            masks: write the masks.

        Returns:
            The files written.

        Raises:
            InputError: unknown file type, or the folder can't be written.
        """
        target = Path(path)
        if target.suffix.lower() not in (".png", ".tif", ".tiff", ".npy"):
            raise InputError(f"{target}: a sample is saved as .png, .tif or .npy")
        several = len(self.cameras) > 1
        written: list[Path] = []
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            for view in range(len(self.cameras)):
                stem = f"{target.stem}-{view}" if several else target.stem
                written += self._save_view(view, target.with_name(stem + target.suffix), preset, masks)
        except OSError as error:
            raise InputError(f"{target}: can't be written ({error.strerror or error})") from None
        return written

    def _save_view(self, view: int, path: Path, preset: str | DisplayPreset, masks: bool) -> list[Path]:
        from PIL import Image

        written = [path]
        if path.suffix.lower() == ".npy":
            np.save(path, self.image[view], allow_pickle=False)
        else:
            Image.fromarray(display(self.image[view], preset)).save(path)
        for name in self.masks if masks else ():
            mask = self.masks[name][view]
            if mask.any():
                written.append(path.with_name(f"{path.stem}__{name}.png"))
                Image.fromarray(mask.astype(np.uint8) * 255).save(written[-1])
        written.append(path.with_suffix(".json"))
        written[-1].write_text(json.dumps(self.describe(view), indent=1) + "\n", encoding="utf-8")
        return written

    def describe(self, view: int = 0) -> dict[str, Any]:
        """Camera, landmarks, visible structures and settings of one view, as plain values for JSON."""
        return {
            "patient": self.patient_name,
            "realism": self.realism,
            "seed": self.seed,
            "camera": self.cameras[view].to_dict(),
            "settings": plain_settings(self.settings[view]),
            "dose": asdict(self.doses[view]) if self.doses else None,
            "landmarks": {
                name: {
                    "px": pixels[view].tolist() if np.isfinite(pixels[view]).all() else None,
                    "visible": bool(self.visible[name][view]),
                }
                for name, pixels in self.landmarks_px.items()
            },
            "structures": [name for name in self.masks if self.masks[name][view].any()],
        }

    def show(self, view: int = 0, preset: str | DisplayPreset = "c-arm") -> None:
        """Open one view in the desktop's image viewer."""
        from PIL import Image

        Image.fromarray(display(self.image[view], preset)).show()


def plain_settings(settings: ImagingSettings) -> dict[str, Any]:
    """The numbers that make an exposure, as plain values for JSON; what is found automatically is null."""
    tube, grid = settings.tube, settings.scatter.grid
    return {
        "tube_kvp": tube.tube_kvp,
        "aluminium_mm": tube.aluminium_mm,
        "copper_mm": tube.copper_mm,
        "mas": settings.mas,
        "scatter_ratio": settings.scatter.ratio,
        "scatter_sigma_mm": settings.scatter.sigma_mm,
        "air_gap_mm": settings.scatter.air_gap_mm,
        "grid_ratio": None if grid is None else grid.ratio,
        "focal_spot_mm": settings.focal_spot_mm,
        "detector": settings.detector.material,
    }
