"""`mcpvisor stdio` behind the Python SDK of the second line, which finds the era out over the pipes."""

import os
from urllib.parse import urlsplit

import features
from mcp import StdioServerParameters, stdio_client
from py2 import Py2


class Stdio(Py2):
    def server(self):
        parts = urlsplit(self.url)
        server = parts.path.rsplit("/", 1)[-1]
        arguments = ["stdio", server, "--url", f"{parts.scheme}://{parts.netloc}"]
        return stdio_client(StdioServerParameters(command=os.environ["MCPVISOR"], args=arguments))


if __name__ == "__main__":
    features.main(Stdio)
