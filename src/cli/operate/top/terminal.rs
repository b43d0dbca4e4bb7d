//! The terminal while `mcpvisor top` has it: a screen of its own, keys without echo, and everything given back at its end.

use std::io::{self, Read, Write};

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use tokio::sync::mpsc;

use crate::cli::client::Problem;
use crate::cli::operate::screen::{Screen, top};

/// Changes to a screen beside the one with the prompt, and hides the cursor.
const ENTER: &str = "\u{1b}[?1049h\u{1b}[?25l";
/// Takes both back.
const LEAVE: &str = "\u{1b}[?25h\u{1b}[?1049l";

/// The terminal, as it was. It is that again when this is dropped, also by a panic.
pub(super) struct Terminal {
    before: Option<Termios>,
}

impl Terminal {
    /// Takes the terminal. Without a keyboard there are no keys.
    pub(super) fn take() -> io::Result<Terminal> {
        let before = tcgetattr(io::stdin()).ok();
        if let Some(before) = &before {
            let mut now = before.clone();
            // Signals stay: Ctrl-C ends it. Being stopped would leave the shell with this screen.
            now.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
            now.special_codes[SpecialCodeIndex::VSUSP] = 0;
            tcsetattr(io::stdin(), OptionalActions::Now, &now)?;
        }
        let terminal = Terminal { before };
        write(ENTER)?;
        Ok(terminal)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing back.
        let _ = write(LEAVE);
        if let Some(before) = &self.before {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

/// Returns the keys as they are pressed. The thread that reads them ends with the process.
pub(super) fn keys(waiting: usize) -> mpsc::Receiver<u8> {
    let (sender, keys) = mpsc::channel(waiting);
    std::thread::spawn(move || {
        for key in io::stdin().lock().bytes() {
            let Ok(key) = key else { break };
            if sender.blocking_send(key).is_err() {
                break;
            }
        }
    });
    keys
}

/// Draws a picture over the one before, without a flicker between the two.
pub(super) fn draw(screen: &Screen, text: &str) -> Result<(), Problem> {
    let mut picture = "\u{1b}[H".to_owned();
    for line in top(text, screen.height()).lines() {
        picture += &format!("{line}\u{1b}[K\n");
    }
    picture += "\u{1b}[J";
    Ok(write(&picture)?)
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
