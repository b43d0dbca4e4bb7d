// `mcpvisor stdio` as a host starts it, for the server at the address that run.py gives.

export function command(url) {
  const { origin, pathname } = new URL(url);
  const args = ["stdio", pathname.split("/").pop(), "--url", origin];
  return { command: process.env.MCPVISOR, args, env: { PATH: process.env.PATH, HOME: process.env.HOME } };
}
