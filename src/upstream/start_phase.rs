//! How far an upstream is that is not ready yet.

/// Stage of an upstream that is not ready yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartPhase {
    /// A process was spawned and has not written to stdout yet.
    Spawned,
    /// A process's launcher is fetching or building the server.
    Installing,
    /// A remote server is being asked which era it speaks: its name is looked up, it is connected to, and probed.
    Probing,
    /// The handshake is under way.
    Handshake,
    /// The first lists of a remote server are being read.
    Listing,
}

impl StartPhase {
    /// Returns the name of the phase, as in the API.
    pub fn name(self) -> &'static str {
        match self {
            StartPhase::Spawned => "spawned",
            StartPhase::Installing => "installing",
            StartPhase::Probing => "probing",
            StartPhase::Handshake => "handshake",
            StartPhase::Listing => "listing",
        }
    }
}
