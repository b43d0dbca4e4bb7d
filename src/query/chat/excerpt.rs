//! The beginning of an answer that is no completion, as errors show it.

/// Returns the beginning of an answer, for people.
pub(super) fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(800)]);
    let text: String = text.chars().take(200).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.trim().is_empty() { "(nothing)".to_owned() } else { text.trim().to_owned() }
}
