import requests
import json

BASE_URL = "http://localhost:5000/api"

def list_servers():
    """List all configured MCP servers."""
    response = requests.get(f"{BASE_URL}/servers")
    return response.json()

def add_server(name, command, args=None, env=None):
    """Add a new MCP server."""
    if args is None:
        args = []
    if env is None:
        env = {}

    data = {
        "name": name,
        "command": command,
        "args": args,
        "env": env
    }

    response = requests.post(
        f"{BASE_URL}/servers",
        headers={"Content-Type": "application/json"},
        data=json.dumps(data)
    )
    return response.json()

def run_query(server, query, model="gpt-3.5-turbo"):
    """Run a query against an MCP server."""
    data = {
        "server": server,
        "query": query,
        "model": model
    }

    response = requests.post(
        f"{BASE_URL}/query",
        headers={"Content-Type": "application/json"},
        data=json.dumps(data)
    )
    return response.json()

# Usage example
if __name__ == "__main__":
    # List all servers
    servers = list_servers()
    print(f"Configured servers: {', '.join([s['name'] for s in servers['servers']])}")

    # Add a new server
    result = add_server(
        "playwright",
        "npx",
        ["@playwright/mcp@latest"],
        {"DISPLAY": ":1"}
    )
    print(f"Add server result: {result}")

    # Run a query
    result = run_query("playwright", "Find the best restaurants in San Francisco")
    print(f"Query result: {result['result']}")
