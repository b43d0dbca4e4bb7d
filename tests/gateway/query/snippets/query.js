// Function to run a query against an MCP server
async function runQuery(server, query, model = "gpt-3.5-turbo") {
  const response = await fetch('http://localhost:5000/api/query', {
    method: 'POST',
    headers: {
      'Content-Type': 'application/json',
    },
    body: JSON.stringify({
      server,
      query,
      model,
    }),
  });

  const data = await response.json();

  if (data.error) {
    throw new Error(data.error);
  }

  return data.result;
}

// Function to add a new MCP server
async function addServer(name, command, args = [], env = {}) {
  const response = await fetch('http://localhost:5000/api/servers', {
    method: 'POST',
    headers: {
      'Content-Type': 'application/json',
    },
    body: JSON.stringify({
      name,
      command,
      args,
      env,
    }),
  });

  const data = await response.json();

  if (data.error) {
    throw new Error(data.error);
  }

  return data;
}

// Usage examples
async function examples() {
  try {
    // Add a server
    await addServer('playwright', 'npx', ['@playwright/mcp@latest'], { DISPLAY: ':1' });

    // Run a query
    const result = await runQuery('playwright', 'Find the best restaurants in San Francisco');
    console.log(result);
  } catch (error) {
    console.error('Error:', error.message);
  }
}

examples();
