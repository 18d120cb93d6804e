"""X-ray systems as named recipes: tube, detector, grid, air gap, exposure control, and the usual display."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from synthray.errors import InputError
from synthray.imaging.detector import DETECTORS
from synthray.imaging.exposure import AutomaticExposure
from synthray.imaging.grid import Grid
from synthray.imaging.scatter import Scatter
from synthray.imaging.settings import ImagingSettings
from synthray.imaging.spectrum import Tube


@dataclass(frozen=True, kw_only=True)
class System:
    """A kind of X-ray room.

    Attributes:
        settings: how it makes an image; the exposure control finds the dose.
        display: name of the display preset in which its pictures are usually shown.
        about: one line for people.
    """

    settings: ImagingSettings
    display: str
    about: str

    @staticmethod
    def preset(name: str) -> System:
        """A named system; `SYSTEMS` lists them.

        Raises:
            InputError: unknown name.
        """
        if name not in SYSTEMS:
            raise InputError(f"no X-ray system '{name}'; known are {', '.join(SYSTEMS)}")
        return SYSTEMS[name]


# Over the lung fields, left and right of the spine, where chest stands measure.
_CHEST_FIELDS = ((0.25, 0.5, 0.18, 0.38), (0.25, 0.5, 0.62, 0.82))

SYSTEMS = MappingProxyType(
    {
        "mobile-c-arm": System(
            about="flat-panel C-arm in the operating room: one low-dose shot, grid, patient close to the panel",
            display="c-arm",
            settings=ImagingSettings(
                tube=Tube(tube_kvp=75, aluminium_mm=3.0, copper_mm=0.1, anode_angle_deg=10),
                detector=DETECTORS["csi-c-arm"],
                exposure=AutomaticExposure(detector_kerma_ugy=0.3, kvp_range=(55, 120), mas_range=(0.01, 8)),
                scatter=Scatter(air_gap_mm=100, grid=Grid(ratio=8)),
                focal_spot_mm=0.5,
                table_g_cm2=0.6,
            ),
        ),
        "angiography": System(
            about="fixed angiography: copper filter, fine panel, exposure run",
            display="c-arm",
            settings=ImagingSettings(
                tube=Tube(tube_kvp=75, aluminium_mm=2.5, copper_mm=0.3, anode_angle_deg=11),
                detector=DETECTORS["csi-angiography"],
                exposure=AutomaticExposure(detector_kerma_ugy=2.0, kvp_range=(60, 120), mas_range=(0.05, 80)),
                scatter=Scatter(air_gap_mm=80, grid=Grid(ratio=13, lines_per_cm=44)),
                focal_spot_mm=0.6,
                table_g_cm2=0.8,
            ),
        ),
        "chest-upright": System(
            about="chest stand: 120 kVp, 1.8 m, grid, measuring fields over both lungs",
            display="chest-pa",
            settings=ImagingSettings(
                tube=Tube(tube_kvp=120, aluminium_mm=3.0, copper_mm=0.1, anode_angle_deg=12),
                detector=DETECTORS["csi-chest"],
                exposure=AutomaticExposure(detector_kerma_ugy=2.5, fields=_CHEST_FIELDS, mas_range=(0.1, 50)),
                scatter=Scatter(air_gap_mm=50, grid=Grid(ratio=12)),
                focal_spot_mm=1.0,
            ),
        ),
        "chest-bedside": System(
            about="mobile unit at the bedside: 95 kVp, about 1.1 m, no grid",
            display="chest-pa",
            settings=ImagingSettings(
                tube=Tube(tube_kvp=95, aluminium_mm=3.0, anode_angle_deg=15, ripple=0.03),
                detector=DETECTORS["gd2o2s-bedside"],
                exposure=AutomaticExposure(detector_kerma_ugy=3.0, fields=_CHEST_FIELDS, mas_range=(0.5, 10)),
                scatter=Scatter(air_gap_mm=40, grid=None),
                focal_spot_mm=1.2,
            ),
        ),
        "bucky-table": System(
            about="radiography on the table: pelvis, spine, abdomen",
            display="bone",
            settings=ImagingSettings(
                tube=Tube(tube_kvp=80, aluminium_mm=3.0, anode_angle_deg=12),
                detector=DETECTORS["csi-c-arm"],
                exposure=AutomaticExposure(detector_kerma_ugy=2.5, mas_range=(0.5, 200)),
                scatter=Scatter(air_gap_mm=70, grid=Grid(ratio=12)),
                focal_spot_mm=1.0,
                table_g_cm2=0.8,
            ),
        ),
    }
)
