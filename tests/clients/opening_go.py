"""A program with the Go SDK, from 1.7 on: it asks for the era, listens at once, and then lists all that it may show.
A refused stream ended its session in 1.7 and ends it no more in 1.8.
"""

import openings


class GoSdk(openings.Program):
    info = {"name": "mcp-client", "version": "v1.0.0"}
    # What it declares unless it is told otherwise.
    capabilities = {"roots": {"listChanged": True}}
    # All its ids are numbers, from one on.
    probe_id, listen_id = 1, 2
    first_id = {"auto": 3, "legacy": 2}
    lists = ["tools/list", "prompts/list", "resources/list", "resources/templates/list"]


if __name__ == "__main__":
    openings.main(GoSdk())
