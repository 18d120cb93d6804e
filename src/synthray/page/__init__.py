"""HTML pages that need no network: parts, charts, and how they become one file."""

from synthray.page.charts import LineChart as LineChart
from synthray.page.charts import Series as Series
from synthray.page.charts import svg_chart as svg_chart
from synthray.page.report import Block as Block
from synthray.page.report import Figure as Figure
from synthray.page.report import Gallery as Gallery
from synthray.page.report import KeyFigures as KeyFigures
from synthray.page.report import Paragraph as Paragraph
from synthray.page.report import Section as Section
from synthray.page.report import Table as Table
from synthray.page.report import render_report as render_report
from synthray.page.report import write_report as write_report
