//! Table of the programs whose servers files are known: their places, and differences in how they are written.
//! The content of a file decides its form, not its name, since names and forms change.

use std::path::{Path, PathBuf};

/// Unit of a client's `timeout`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Milliseconds,
    /// The `timeout` limits requests for lists, not calls.
    OfLists,
}

/// A program that runs MCP servers.
#[derive(Debug)]
pub struct Client {
    /// Name of the program on the command line, such as `claude-code`.
    pub id: &'static str,
    /// Name of the program for people.
    pub name: &'static str,
    /// Its files of a user, below the home directory: on Linux, then on macOS, then on Windows.
    pub user: [&'static [&'static str]; 3],
    /// Its files of a project, below the project's directory.
    pub project: &'static [&'static str],
    /// Unit of `timeout` in its files. `None` if it has none.
    pub(super) timeout: Option<Unit>,
}

/// Makes a client whose files have the same place on every system.
const fn everywhere(
    id: &'static str,
    name: &'static str,
    user: &'static [&'static str],
    project: &'static [&'static str],
    timeout: Option<Unit>,
) -> Client {
    Client { id, name, user: [user, &[], &[]], project, timeout }
}

const S: Option<Unit> = Some(Unit::Seconds);
const MS: Option<Unit> = Some(Unit::Milliseconds);

/// All known clients. Of two that match a file the first counts.
pub const CLIENTS: [Client; 25] = [
    Client {
        id: "claude-desktop",
        name: "Claude Desktop",
        user: [
            &[".config/Claude/claude_desktop_config.json"],
            &["Library/Application Support/Claude/claude_desktop_config.json"],
            &["AppData/Roaming/Claude/claude_desktop_config.json"],
        ],
        project: &["claude_desktop_config.json"],
        timeout: None,
    },
    everywhere("claude-code", "Claude Code", &[".claude.json"], &[".mcp.json"], MS),
    everywhere("cursor", "Cursor", &[".cursor/mcp.json"], &[".cursor/mcp.json"], None),
    Client {
        id: "cline",
        name: "Cline",
        user: [
            &[
                ".config/Code/User/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json",
                ".cline/data/settings/cline_mcp_settings.json",
            ],
            &[
                "Library/Application Support/Code/User/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json",
            ],
            &[
                "AppData/Roaming/Code/User/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json",
            ],
        ],
        project: &["cline_mcp_settings.json"],
        timeout: S,
    },
    Client {
        id: "roo",
        name: "Roo Code",
        user: [
            &[".config/Code/User/globalStorage/rooveterinaryinc.roo-cline/settings/mcp_settings.json"],
            &[
                "Library/Application Support/Code/User/globalStorage/rooveterinaryinc.roo-cline/settings/mcp_settings.json",
            ],
            &[
                "AppData/Roaming/Code/User/globalStorage/rooveterinaryinc.roo-cline/settings/mcp_settings.json",
            ],
        ],
        project: &[".roo/mcp.json"],
        timeout: S,
    },
    Client {
        id: "vscode",
        name: "Visual Studio Code",
        user: [
            &[".config/Code/User/mcp.json", ".config/Code/User/settings.json"],
            &[
                "Library/Application Support/Code/User/mcp.json",
                "Library/Application Support/Code/User/settings.json",
            ],
            &["AppData/Roaming/Code/User/mcp.json", "AppData/Roaming/Code/User/settings.json"],
        ],
        project: &[".vscode/mcp.json", ".vscode/settings.json"],
        timeout: None,
    },
    everywhere("windsurf", "Windsurf", &[".codeium/windsurf/mcp_config.json"], &[], None),
    everywhere(
        "antigravity",
        "Antigravity",
        &[".gemini/antigravity/mcp_config.json"],
        &["mcp_config.json"],
        None,
    ),
    everywhere("kiro", "Kiro", &[".kiro/settings/mcp.json"], &[".kiro/settings/mcp.json"], None),
    everywhere("amazon-q", "Amazon Q", &[".aws/amazonq/mcp.json"], &[".amazonq/mcp.json"], MS),
    everywhere(
        "gemini",
        "Gemini CLI",
        &[".gemini/settings.json"],
        &[".gemini/settings.json", "gemini-extension.json"],
        MS,
    ),
    everywhere("qwen", "Qwen Code", &[".qwen/settings.json"], &[".qwen/settings.json"], MS),
    everywhere(
        "opencode",
        "opencode",
        &[".config/opencode/opencode.json", ".config/opencode/opencode.jsonc"],
        &["opencode.json", "opencode.jsonc"],
        Some(Unit::OfLists),
    ),
    Client {
        id: "zed",
        name: "Zed",
        user: [&[".config/zed/settings.json"], &[], &["AppData/Roaming/Zed/settings.json"]],
        project: &[".zed/settings.json"],
        timeout: None,
    },
    everywhere("codex", "Codex", &[".codex/config.toml"], &[".codex/config.toml"], None),
    Client {
        id: "goose",
        name: "Goose",
        user: [&[".config/goose/config.yaml"], &[], &["AppData/Roaming/Block/goose/config/config.yaml"]],
        project: &[],
        timeout: S,
    },
    everywhere("continue", "Continue", &[".continue/config.yaml"], &[".continue/config.yaml"], None),
    everywhere("librechat", "LibreChat", &[], &["librechat.yaml"], MS),
    everywhere("mcp-hub", "mcp-hub", &[".config/mcphub/servers.json"], &[".mcphub/servers.json"], None),
    everywhere("mcphub", "mcphub", &[], &["mcp_settings.json"], None),
    everywhere("1mcp", "1mcp", &[".config/1mcp/mcp.json"], &[".1mcp/mcp.json"], MS),
    everywhere("mcpo", "mcpo", &[], &[], None),
    everywhere("junie", "JetBrains Junie", &[".junie/mcp/mcp.json"], &[".junie/mcp/mcp.json"], None),
    Client {
        id: "trae",
        name: "Trae",
        user: [
            &[".config/Trae/User/mcp.json"],
            &["Library/Application Support/Trae/User/mcp.json"],
            &["AppData/Roaming/Trae/User/mcp.json"],
        ],
        project: &[".trae/mcp.json"],
        timeout: None,
    },
    everywhere("lm-studio", "LM Studio", &[".lmstudio/mcp.json"], &[], None),
];

impl Client {
    /// Returns the client that a file belongs to, by its path. `None` if no client keeps a file there.
    pub fn of(path: &Path) -> Option<&'static Client> {
        CLIENTS.iter().find(|client| client.project_of(path).is_some() || client.has_as_user(path))
    }

    /// Returns the client with this name on the command line.
    pub fn named(id: &str) -> Option<&'static Client> {
        CLIENTS.iter().find(|client| client.id.eq_ignore_ascii_case(id))
    }

    /// Returns the paths of its files: those of the user, and those of the project in `project`.
    pub fn places(&self, home: Option<&Path>, project: &Path) -> Vec<PathBuf> {
        let of_user = self.user.iter().flat_map(|files| files.iter());
        let of_user = of_user.filter_map(|file| Some(home?.join(file)));
        let mut places: Vec<PathBuf> =
            of_user.chain(self.project.iter().map(|file| project.join(file))).collect();
        places.dedup();
        places
    }

    /// Returns the directory of the project that a file belongs to.
    fn project_of<'p>(&self, path: &'p Path) -> Option<&'p Path> {
        let file = self.project.iter().find(|file| path.ends_with(file))?;
        path.ancestors().nth(Path::new(file).components().count())
    }

    fn has_as_user(&self, path: &Path) -> bool {
        self.user.iter().any(|files| files.iter().any(|file| path.ends_with(file)))
    }
}

/// Returns the directory that a file calls its workspace: the project's for a file of a project, else its own.
pub(super) fn workspace(path: &Path) -> &Path {
    let project = CLIENTS.iter().find_map(|client| client.project_of(path));
    project.or_else(|| path.parent()).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_file_of_the_table_is_known_as_its_client_s() {
        for client in &CLIENTS {
            for place in client.places(Some(Path::new("/home/u")), Path::new("/srv/p")) {
                let known = Client::of(&place).expect("a client");
                assert_eq!(known.id, client.id, "{}", place.display());
            }
        }
        let ids: HashSet<&str> = CLIENTS.iter().map(|client| client.id).collect();
        assert_eq!(ids.len(), CLIENTS.len());
        assert!(Client::of(Path::new("/srv/p/servers.json")).is_none());
    }

    #[test]
    fn the_workspace_of_a_project_s_file_is_the_project() {
        for (file, directory) in [
            ("/srv/p/.vscode/mcp.json", "/srv/p"),
            ("/srv/p/.mcp.json", "/srv/p"),
            ("/srv/p/.kiro/settings/mcp.json", "/srv/p"),
            ("/srv/p/config/any.json", "/srv/p/config"),
        ] {
            assert_eq!(workspace(Path::new(file)), Path::new(directory), "{file}");
        }
    }
}
