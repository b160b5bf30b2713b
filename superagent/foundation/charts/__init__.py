"""Charts as SVG, rendered on the server: pure functions over dataclasses, no styles, each with a table of the same
data.

Horizontal positions are per cent and vertical ones pixels: a chart fills any width and its text keeps its size. Every
chart starts at zero and has four grid lines. Colors come from the classes series-1 … series-6 and series-other.
"""

from superagent.foundation.charts.drawings import bars, sparkline
from superagent.foundation.charts.figures import Axes, Bucket, Drawing, Series, Sparkline, Table
from superagent.foundation.charts.legend import hidden_in
from superagent.foundation.charts.scales import leading, nice_ticks
from superagent.foundation.charts.tables import file_rows

__all__ = [
    "Axes",
    "Bucket",
    "Drawing",
    "Series",
    "Sparkline",
    "Table",
    "bars",
    "file_rows",
    "hidden_in",
    "leading",
    "nice_ticks",
    "sparkline",
]
