//! What is followed until it ends: the lines of a log, or the calls.

use std::time::Duration;

use reqwest::Response;
use serde_json::Value;

use super::console::Console;
use crate::cli::client::Problem;
use crate::sse::SseData;

/// Longest silence of what is followed: it says something every 15 seconds.
const SILENCE: Duration = Duration::from_secs(60);

/// What is followed.
pub(super) struct Followed {
    /// Name, and a verb for it, in the sentence about its end.
    pub(super) subject: &'static str,
    /// What its items are, as the event of missed ones calls them.
    pub(super) unit: &'static str,
    /// Member that each item has, as a string.
    pub(super) mark: &'static str,
}

/// Hands the items of a stream to `show`, each as it came and as it was read, until the stream says that it ends.
pub(super) async fn follow(
    console: &Console,
    mut response: Response,
    followed: &Followed,
    show: impl Fn(&str, &Value) -> Result<(), Problem>,
) -> Result<(), Problem> {
    let (mut events, mut end) = (SseData::default(), None);
    while end.is_none() {
        let bytes = next(&mut response).await?;
        events.feed(&bytes, |data| {
            let event: Value = serde_json::from_str(data).unwrap_or_default();
            if event[followed.mark].is_string() {
                return show(data, &event);
            }
            let unit = followed.unit;
            if let Some(lost) = event[unit].as_u64() {
                console.screen.remark(&format!("({lost} {unit} came faster than they could be shown)"));
            }
            end = event["reason"].as_str().map(str::to_owned).or(end.take());
            Ok(())
        })?;
    }
    let remark = match end.as_deref() {
        Some("removed") => "(the server was removed)",
        Some("shutting_down") => "(the daemon stops)",
        other => {
            let (subject, reason) = (followed.subject, other.unwrap_or(""));
            return Err(Problem::refused(format!("{subject} not for this key any more: {reason}")));
        }
    };
    console.screen.remark(remark);
    Ok(())
}

async fn next(response: &mut Response) -> Result<Vec<u8>, Problem> {
    let next = tokio::time::timeout(SILENCE, response.chunk()).await;
    let next = next.map_err(|_| Problem::BrokenOff("the daemon fell silent".to_owned()))?;
    let next = next.map_err(|error| Problem::BrokenOff(error.to_string()))?;
    let broken = || Problem::BrokenOff("it has no end; the daemon may have been stopped".to_owned());
    Ok(next.ok_or_else(broken)?.to_vec())
}
