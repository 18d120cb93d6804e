"""Speed, memory and accuracy of the projector on this machine, as figures that can be repeated and compared."""

from synthray.bench.bandwidth import measure_read_bandwidth as measure_read_bandwidth
from synthray.bench.cases import GRIDS as GRIDS
from synthray.bench.cases import Case as Case
from synthray.bench.cases import parse_case as parse_case
from synthray.bench.fresh import first_call as first_call
from synthray.bench.fresh import peak_memory as peak_memory
from synthray.bench.machine import describe_machine as describe_machine
from synthray.bench.measure import Row as Row
from synthray.bench.measure import measure as measure
from synthray.bench.measure import warm as warm
from synthray.bench.phantom import Ellipsoid as Ellipsoid
from synthray.bench.phantom import Phantom as Phantom
from synthray.bench.phantom import bench_views as bench_views
from synthray.bench.phantom import make_phantom as make_phantom
from synthray.bench.report import Report as Report
from synthray.bench.report import run as run
from synthray.bench.tables import HEADERS as HEADERS
from synthray.bench.tables import LEGEND as LEGEND
from synthray.bench.tables import markdown as markdown
from synthray.bench.tables import summary as summary
from synthray.bench.tables import table as table
