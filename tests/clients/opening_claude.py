"""Claude Code from 2.1.224 on: the TypeScript SDK of the second line, with ids of text for its question and its stream,
and numbers from zero on for everything else. Over HTTP it listens before it lists, and lists tools only; when it is
turned away it opens a session, and then the session's stream.
"""

import openings


class ClaudeCode(openings.Program):
    info = {"name": "claude-code", "title": "Claude Code", "version": "2.1.280"}
    capabilities = {"roots": {"listChanged": True}, "elicitation": {}}
    probe_id, listen_id = "server-discover-probe-1", "listen:0"
    first_id = {"auto": 0, "legacy": 0}
    lists = ["tools/list"]

    def call_meta(self):
        return {"claudecode/toolUseId": "toolu_01", "progressToken": 2}

    def after_listening(self, client):
        """It has left already, and says so once more: without the header that names the method."""
        message = {"jsonrpc": "2.0", "method": "notifications/cancelled"}
        message["params"] = {"requestId": self.listen_id, "_meta": client.meta()}
        headers = {"MCP-Protocol-Version": client.version}
        with client.endpoint.post(message, headers) as reply:
            openings.require(reply.status == 202, f"notifications/cancelled: HTTP {reply.status}")


if __name__ == "__main__":
    openings.main(ClaudeCode())
