//! One turn of a question, told of the tools that the model's endpoint takes: one that it refuses by its name
//! or its place costs that tool only.

use std::time::Instant;

use tokio::sync::mpsc;

use super::blame::blamed;
use super::chat::{Chat, ChatRequest, Reply, StreamOptions};
use super::offer::Offer;
use super::settings::ApiKey;
use super::talk::Talk;
use super::{Event, LeftOut, ModelError, QueryError};

/// So many tools are left out of one question, each at the price of asking once more.
const MOST_LEFT_OUT: usize = 16;
/// So much is repeated of what the endpoint said of a tool, in characters.
const LONGEST_REASON: usize = 300;

/// Whom a question is put to, and how.
pub(super) struct Asking<'a> {
    pub(super) chat: &'a Chat,
    pub(super) key: Option<&'a ApiKey>,
    pub(super) model: &'a str,
    pub(super) temperature: Option<f64>,
    pub(super) deadline: Instant,
    pub(super) events: Option<&'a mpsc::Sender<Event>>,
}

impl Asking<'_> {
    /// What the model says next. Tools that are refused are out of the offer and in the talk's list then.
    pub(super) async fn turn(&self, offer: &mut Offer, talk: &mut Talk) -> Result<Reply, QueryError> {
        loop {
            let streamed = self.events.map(|_| StreamOptions { include_usage: true });
            let request = ChatRequest {
                model: self.model,
                messages: &talk.messages,
                tools: offer.definitions(),
                temperature: self.temperature,
                stream: streamed.map(|_| true),
                stream_options: streamed,
            };
            let error = match self.chat.turn(self.key, &request, self.deadline, self.events).await {
                Ok(mut reply) => {
                    talk.usage += reply.usage;
                    talk.name_calls(&mut reply);
                    return Ok(reply);
                }
                Err(error) => error,
            };
            let Some(left_out) = refused(&error, offer, talk.left_out.len()) else { return Err(error) };
            tracing::warn!(
                server = left_out.server,
                tool = left_out.tool,
                reason = left_out.reason,
                "the model's endpoint refuses a tool"
            );
            talk.left_out.push(left_out);
            talk.offers(offer);
        }
    }
}

/// Takes the tool out of the offer that an error is about, if there may be one more.
fn refused(error: &QueryError, offer: &mut Offer, so_far: usize) -> Option<LeftOut> {
    let QueryError::Model(ModelError::Refused { message, tools: 1.., .. }) = error else { return None };
    let at = blamed(message, offer.in_order()).filter(|_| so_far < MOST_LEFT_OUT)?;
    let tool = offer.leave_out(at)?;
    Some(LeftOut {
        server: tool.server.to_string(),
        tool: tool.tool.to_string(),
        reason: message.chars().take(LONGEST_REASON).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::offer::Offered;
    use super::*;

    fn offer() -> Offer {
        let tool = |name: &str| Offered {
            server_id: "mcp_s".into(),
            server: "s".into(),
            tool: name.into(),
            description: "".into(),
            schema: serde_json::value::to_raw_value(&serde_json::json!({})).expect("JSON"),
        };
        Offer::new(vec![tool("odd.one"), tool("good")])
    }

    fn error(message: &str, tools: usize) -> QueryError {
        ModelError::Refused { status: 400, message: message.to_owned(), retry_after: None, tools }.into()
    }

    #[test]
    fn a_refused_tool_is_left_out_under_its_own_name() {
        let mut offer = offer();
        let message = format!("Invalid schema for function '{}': no", offer.in_order()[0]);
        let left_out = refused(&error(&message, 2), &mut offer, 0);
        let expected = LeftOut { server: "s".to_owned(), tool: "odd.one".to_owned(), reason: message };
        assert_eq!((left_out, offer.in_order()), (Some(expected), &["good".to_owned()][..]));
    }

    #[test]
    fn no_tool_is_left_out_for_nothing_or_without_end() {
        let mut offer = offer();
        for (error, so_far) in [
            (error("the context is too long", 2), 0),
            (error("'good' is bad", 0), 0),
            (error("'good' is bad", 2), MOST_LEFT_OUT),
            (QueryError::NoKey, 0),
        ] {
            assert_eq!(refused(&error, &mut offer, so_far), None, "{error}");
        }
        assert_eq!(offer.in_order().len(), 2);
    }
}
