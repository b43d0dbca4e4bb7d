"""The queries of the Grafana board, as Grafana would ask them."""

import json
import re
import time

from daemons import Untried

# What Grafana puts in place of its variables when everything is chosen.
VARIABLES = {"$__rate_interval": "10s", "$job": ".*", "$instance": ".*", "$server": ".*"}


# Longest time that a query may find nothing: a server whose breaker is open fails one call in a while.
PATIENCE_S = 60


def found_in_time(prometheus, query):
    end = time.monotonic() + PATIENCE_S
    while not (found := prometheus.ask(query)) and time.monotonic() < end:
        time.sleep(1)
    return found


def check_board(path, prometheus):
    """Evaluates each query of each panel, and of each variable: how many there are. All must find something."""
    board = json.loads(path.read_text())
    targets = [(panel["title"], target["expr"]) for panel in board["panels"] for target in panel.get("targets", ())]
    for variable in board["templating"]["list"]:
        found = re.fullmatch(r"label_values\((.*), (\w+)\)", variable.get("definition", ""))
        if found:
            targets.append((f"variable {variable['name']}", f"count by ({found[2]}) ({found[1]})"))
    for title, query in targets:
        for name, value in VARIABLES.items():
            query = query.replace(name, value)
        if "$" in query:
            raise Untried(f"{title}: a variable that this test does not know in {query}")
        if not found_in_time(prometheus, query):
            raise Untried(f"{title}: nothing is found by {query}")
    return len(targets)
