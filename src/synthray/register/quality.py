"""Whether to believe a pose: what tells a failure, and the covariance of a success."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from synthray.geometry import Camera
from synthray.register.moving import moving_images
from synthray.register.objective import Agreement, detail_correlation
from synthray.register.pose import left_right_flipped, opposite
from synthray.register.search import LEVELS, Found, Range, Task, followed, same_optimum

Floats = npt.NDArray[np.float64]
State = Literal["ok", "doubtful", "failed"]
# The covariance counts each patch's own disagreement, and knows nothing of what physics and sampling shift in all
# patches alike. Measured on simulation by benchmarks/registration/run.py (docs/registration.md).
CALIBRATION = 1.65
# Correlation of the detail. In that benchmark right poses have 0.48 and more, other people's X-rays 0.40 and less and
# wrong poses 0.15 and less; real X-rays agree less with a CT than simulated ones do, hence a band of doubt.
SURE, LOST = 0.45, 0.35
_DETAIL_SCALE = 0.05
# A view taken for another may come as near as this before it casts doubt.
_MISTAKEN_MARGIN = 0.005
_LEAST_COUNTED, _LITTLE_COUNTED = 0.1, 0.3


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Whether to believe a pose.

    Attributes:
        state: `ok`, `doubtful` or `failed`.
        reason: in words.
        score: 0 to 1, the higher the surer; see `score_of`.
        ncc: mean correlation of the patches at the found pose, on 64 pixels.
        fine_ncc: the same on the largest image.
        detail_ncc: mean correlation of the gradients in small patches of the largest image.
        agreement: share of the followed starts that lead to the found pose.
        counted: share of the X-ray's pixels that the CT covers and that show something.
        mistaken_view: the best of the views that are easily taken for one another.
        mistaken_ncc: its correlation, to be compared with `ncc`.
    """

    state: State
    reason: str
    score: float
    ncc: float
    fine_ncc: float
    detail_ncc: float
    agreement: float
    counted: float
    mistaken_view: str
    mistaken_ncc: float

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and strings, for JSON."""
        return asdict(self)


def judged(task: Task, first: Sequence[Found], best: Found) -> Quality:
    """The quality of a search's result.

    Args:
        task: of the search.
        first: what the search ended at on the smallest image.
        best: the result.
    """
    tried = [one for one in first if one.sign == best.sign]
    same = [one for one in tried if same_optimum(one, best, task.pivot_mm)]
    here = followed(task, best.camera, best.sign, *LEVELS[1])
    name, other = mistaken_views(task, best)
    numbers = {
        "ncc": here.agreement.ncc,
        "fine_ncc": best.agreement.ncc,
        "detail_ncc": _detail(task, best),
        "agreement": len(same) / max(1, len(tried)),
        "counted": best.share * float(task.fixed.mask.mean()),
        "mistaken_ncc": other,
    }
    state, reason = verdict(numbers, name)
    return Quality(state=state, reason=reason, score=score_of(numbers), mistaken_view=name, **numbers)


def requalified(quality: Quality, detail_ncc: float) -> Quality:
    """The quality with the detail's correlation measured elsewhere."""
    numbers = {**asdict(quality), "detail_ncc": detail_ncc}
    state, reason = verdict(numbers, quality.mistaken_view)
    return replace(quality, state=state, reason=reason, score=score_of(numbers), detail_ncc=detail_ncc)


def score_of(numbers: Mapping[str, float]) -> float:
    """How surely the pose is right, 0 to 1: halved where the detail is between right and wrong, and once more where a
    mistaken view fits equally well.
    """
    detail = (numbers["detail_ncc"] - (SURE + LOST) / 2) / _DETAIL_SCALE
    lead = (numbers["ncc"] - numbers["mistaken_ncc"]) / _MISTAKEN_MARGIN
    return float(1 / ((1 + np.exp(-np.clip(detail, -50, 50))) * (1 + np.exp(-np.clip(lead, -50, 50)))))


def verdict(numbers: Mapping[str, float], mistaken_view: str) -> tuple[State, str]:
    """The state and its reason, the gravest first.

    Args:
        numbers: of `Quality`.
        mistaken_view: name of the one that fits best.
    """
    counted, detail = numbers["counted"], numbers["detail_ncc"]
    lead = numbers["ncc"] - numbers["mistaken_ncc"]
    covers = f"only {counted:.0%} of the X-ray show something that the CT covers"
    fits = f"detail correlates by {detail:.2f} (right poses: {SURE} and more)"
    confused = (
        f"seen {mistaken_view} the CT fits as well or better ({numbers['mistaken_ncc']:.3f} against "
        f"{numbers['ncc']:.3f}): check the view and the sign of K[0, 0]"
    )
    grave = {covers: counted < _LEAST_COUNTED, confused: lead < -_MISTAKEN_MARGIN, fits: detail < LOST}
    mild = {covers: counted < _LITTLE_COUNTED, confused: lead < _MISTAKEN_MARGIN, fits: detail < SURE}
    for state, causes in (("failed", grave), ("doubtful", mild)):
        found = [text for text, holds in causes.items() if holds]
        if found:
            return cast(State, state), "; ".join(found)
    return "ok", fits


def _detail(task: Task, best: Found) -> float:
    """The detail's correlation at the size that the pose was refined on."""
    stage = task.at(max(best.camera.rows, best.camera.columns), best.camera)
    seen = moving_images(stage.patient, [stage.view], task.threads)[0]
    return detail_correlation(stage.fixed, seen, best.sign)


def mistaken_views(task: Task, best: Found) -> tuple[str, float]:
    """The views that look alike: from the opposite side, mirrored, and both (AP against PA).

    Each is refined from the found pose; a person is so symmetric that a wrong one may fit well.

    Returns:
        The name of the one that fits best, and its correlation on 64 pixels.
    """
    camera = task.fixed.camera
    turned = opposite(best.camera, task.pivot_mm)
    views = {
        "from the opposite side": (camera, turned),
        "mirrored left to right": (left_right_flipped(camera), best.camera),
        "from the opposite side and mirrored (AP against PA)": (left_right_flipped(camera), turned),
    }
    scores = {name: _score_from(task, detector, pose, best.sign) for name, (detector, pose) in views.items()}
    name = max(scores, key=lambda one: scores[one])
    return name, scores[name]


def _score_from(task: Task, detector: Camera, pose: Camera, sign: int) -> float:
    other = replace(task, fixed=replace(task.fixed, camera=detector))
    side, how = LEVELS[0]
    start = followed(other, pose, sign, side, how)
    return followed(other, start.camera, sign, *LEVELS[1]).agreement.ncc


def covariance(agreement: Agreement, reach: Range) -> Floats:
    """(6 n, 6 n) covariance of n poses: the sandwich H⁻¹ S H⁻¹ (Huber 1967) times the calibration squared.

    H is the Gauss-Newton matrix and S the scatter of the patches' gradients: what the patches disagree about, not what
    their noise should be. What the image says nothing of stays as unsure as the search range.

    Args:
        agreement: at the pose.
        reach: of the search.
    """
    spread = np.array([np.deg2rad(reach.rotation_deg)] * 3 + [reach.in_plane_mm] * 2 + [reach.depth_mm])
    # Half widths of uniform distributions; never 0, so that the parameters have a common scale.
    scale = np.maximum(spread, (1e-3, 1e-3, 1e-3, 0.1, 0.1, 0.1)) / np.sqrt(3)
    scale = np.resize(scale, len(agreement.system.matrix))
    worth, axes = np.linalg.eigh(agreement.system.matrix * np.outer(scale, scale))
    blind = worth <= 1e-9 * max(float(worth[-1]), 1e-6)
    inverse = axes * np.where(blind, 0, 1 / np.where(blind, 1, worth)) @ axes.T
    sandwich = CALIBRATION**2 * inverse @ (agreement.scatter * np.outer(scale, scale)) @ inverse
    return np.outer(scale, scale) * (sandwich + axes * blind @ axes.T)
