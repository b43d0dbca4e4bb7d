//! What a server asks its client in the middle of a request. The legacy era pushes such questions as requests of its own,
//! the modern one answers with them (`input_required`) and is asked again (spec 2026-07-28, basic/patterns/mrtr).

use bytes::Bytes;
use serde_json::value::RawValue;

use super::envelope::PROGRESS_TOKEN;
use super::members::{Members, push_member};
use super::reply::{ADDRESS_REQUIRED, Reply};
use crate::jsonrpc::{Raw, RpcError, push_string};

/// Maximum number of questions in one result.
const MAX_QUESTIONS: usize = 64;

/// Question of a server to its client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Name of the question among those of its result.
    pub key: String,
    /// Method of the request that a legacy server would push.
    pub method: String,
    /// The `params`, a raw JSON object; `None` if there are none.
    pub params: Option<Bytes>,
}

/// Result of a modern server that needs input first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputRequired {
    /// The questions; none if the request is only to be made again.
    pub questions: Vec<Question>,
    /// State to send back with the answers, raw JSON; `None` if the server gave none.
    pub state: Option<Bytes>,
}

impl InputRequired {
    /// Reads a result of this kind. Fails with what is wrong with it.
    pub fn read(reply: &Reply<'_>) -> Result<InputRequired, &'static str> {
        let state = reply.members().get("requestState");
        let mut questions = Vec::new();
        if let Some(requests) = reply.members().get("inputRequests") {
            let requests = Members::read(requests.get()).ok_or("its 'inputRequests' is no object")?;
            for (key, request) in requests.iter() {
                let request = Members::read(request.get()).ok_or("one of its questions is no object")?;
                let method = request.text("method").ok_or("one of its questions has no method")?.into_owned();
                let params = request.get("params").map(|params| copied(params.get()));
                questions.push(Question { key: key.to_owned(), method, params });
            }
        }
        if questions.len() > MAX_QUESTIONS {
            return Err("it asks more than 64 questions at once");
        }
        if questions.is_empty() && state.is_none() {
            return Err("it asks for input and says neither which nor a state");
        }
        Ok(InputRequired { questions, state: state.map(|state| copied(state.get())) })
    }
}

/// Returns the `params` of the questions that such an error stands for, each a raw JSON object: none for other errors, and
/// for one that names nothing that could be asked.
pub fn addresses_to_open(error: &RpcError) -> Vec<Bytes> {
    let data = error.data.as_deref().filter(|_| error.code == ADDRESS_REQUIRED);
    let data = data.and_then(|data| std::str::from_utf8(data).ok()).and_then(Members::read);
    let asked = data.as_ref().and_then(|data| data.get("elicitations"));
    let asked: Vec<&RawValue> =
        asked.and_then(|asked| serde_json::from_str(asked.get()).ok()).unwrap_or_default();
    let is_address = |one: &&RawValue| {
        Members::read(one.get()).is_some_and(|one| one.text("mode").as_deref() == Some("url"))
    };
    // One that cannot be asked leaves nothing to be asked for.
    match asked.len() <= MAX_QUESTIONS && asked.iter().all(is_address) {
        true => asked.iter().map(|one| copied(one.get())).collect(),
        false => Vec::new(),
    }
}

/// Reports whether the answer to an elicitation, raw JSON, accepts it.
pub fn is_accepted(answer: &[u8]) -> bool {
    let answer = std::str::from_utf8(answer).ok().and_then(Members::read);
    answer.is_some_and(|answer| answer.text("action").as_deref() == Some("accept"))
}

fn copied(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// Returns the result that asks a modern client these questions, with the state that it is to send back.
pub fn input_required(questions: &[Question], state: &str) -> Vec<u8> {
    let mut out = b"{\"resultType\":\"input_required\",\"inputRequests\":{".to_vec();
    for question in questions {
        let mut request = b"{\"method\":".to_vec();
        push_string(&mut request, &question.method);
        if let Some(params) = &question.params {
            push_member(&mut request, "params", params);
        }
        request.push(b'}');
        push_member(&mut out, &question.key, &request);
    }
    out.extend_from_slice(b"},\"requestState\":");
    push_string(&mut out, state);
    out.push(b'}');
    out
}

/// Reads `inputResponses`; `None` if it is no object of objects.
pub fn read_responses(raw: Raw<'_>) -> Option<Members<'_>> {
    let responses = Members::read(raw.get())?;
    let are_objects = responses.iter().all(|(_, response)| response.get().starts_with('{'));
    are_objects.then_some(responses)
}

/// Returns the `params` of a pushed request for its next hop: without the progress token, which belongs to the hop it came
/// over, and for a modern client without the id of an elicitation, which its era does not have.
pub fn of_next_hop(params: &str, is_modern_client: bool) -> Bytes {
    let dropped = |name: &str| is_modern_client && name == "elicitationId";
    let Some(members) = Members::read(params) else { return copied(params) };
    let meta = members.object("_meta");
    let has_token = meta.as_ref().is_some_and(|meta| meta.get(PROGRESS_TOKEN).is_some());
    if !has_token && !members.iter().any(|(name, _)| dropped(name)) {
        return copied(params);
    }
    let mut out = vec![b'{'];
    members.write(&mut out, |name| !(dropped(name) || has_token && name == "_meta"));
    if let Some(meta) = meta.filter(|_| has_token) {
        let mut rest = vec![b'{'];
        meta.write(&mut rest, |name| name != PROGRESS_TOKEN);
        rest.push(b'}');
        if rest.len() > 2 {
            push_member(&mut out, "_meta", &rest);
        }
    }
    out.push(b'}');
    out.into()
}

/// Returns the `params` of a progress notification with the token that the client knows, raw JSON. `None` if they are no
/// object.
pub fn progress_for(params: &[u8], token: &[u8]) -> Option<Vec<u8>> {
    let members = Members::read(std::str::from_utf8(params).ok()?)?;
    let mut out = vec![b'{'];
    push_member(&mut out, PROGRESS_TOKEN, token);
    members.write(&mut out, |name| name != PROGRESS_TOKEN);
    out.push(b'}');
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn read(result: &Value) -> Result<InputRequired, &'static str> {
        let result = Bytes::from(result.to_string());
        InputRequired::read(&Reply::read(&result).expect("an object"))
    }

    fn next_hop(params: &Value, is_modern: bool) -> Value {
        serde_json::from_slice(&of_next_hop(&params.to_string(), is_modern)).expect("JSON")
    }

    #[test]
    fn a_result_that_asks_for_nothing_or_too_much_is_refused_with_a_reason() {
        assert!(read(&json!({"resultType": "input_required"})).is_err());
        assert!(read(&json!({"inputRequests": []})).is_err());
        assert!(read(&json!({"inputRequests": {"a": {"params": {}}}})).is_err());
        let many: serde_json::Map<String, Value> =
            (0..65).map(|n| (n.to_string(), json!({"method": "roots/list"}))).collect();
        assert!(read(&json!({"inputRequests": many})).is_err());
        let again = read(&json!({"requestState": "s"})).expect("a state alone");
        assert_eq!((again.questions.len(), again.state.as_deref()), (0, Some(&b"\"s\""[..])));
    }

    #[test]
    fn the_token_of_a_hop_stays_on_it_and_the_rest_goes_on() {
        let params = json!({"message": "m", "_meta": {"progressToken": 1, "x/y": 2}, "elicitationId": "e"});
        let legacy = json!({"message": "m", "elicitationId": "e", "_meta": {"x/y": 2}});
        assert_eq!(next_hop(&params, false), legacy);
        assert_eq!(next_hop(&params, true), json!({"message": "m", "_meta": {"x/y": 2}}));
        assert_eq!(next_hop(&json!({"a": 1, "_meta": {"progressToken": 1}}), false), json!({"a": 1}));
        assert_eq!(&of_next_hop("{ \"a\" : 1.0 }", true)[..], b"{ \"a\" : 1.0 }");
    }

    #[test]
    fn progress_has_the_token_that_the_client_gave() {
        let told = progress_for(br#"{"progressToken":7,"progress":0.50,"total":1}"#, br#""t""#);
        assert_eq!(told.as_deref(), Some(&br#"{"progressToken":"t","progress":0.50,"total":1}"#[..]));
        assert_eq!(progress_for(b"[]", b"1"), None);
    }

    #[test]
    fn answers_are_objects_by_the_names_of_their_questions() {
        let read = |text: &str| {
            let raw: Raw<'_> = serde_json::from_str(text).expect("JSON");
            read_responses(raw).map(|responses| responses.iter().count())
        };
        assert_eq!(read(r#"{"a":{"action":"accept"},"b":{}}"#), Some(2));
        for bad in [r#"{"a":null}"#, r#"{"a":7}"#, "[]", "null"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_error_that_wants_addresses_opened_says_which() {
        let error = |code, data: Value| RpcError {
            code,
            message: "first".to_owned(),
            data: Some(data.to_string().into()),
        };
        let one = json!({"mode": "url", "url": "https://a.example/", "message": "m", "elicitationId": "e"});
        let data = json!({"elicitations": [one, one]});
        let found = addresses_to_open(&error(-32042, data.clone()));
        assert_eq!(found, [one.to_string(), one.to_string()]);
        let nothing: Vec<Bytes> = Vec::new();
        assert_eq!(addresses_to_open(&error(-32603, data)), nothing);
        for bad in [json!(null), json!({}), json!({"elicitations": [one, {"mode": "form"}]}), json!([one])] {
            assert_eq!(addresses_to_open(&error(-32042, bad.clone())), nothing, "{bad}");
        }
        let many = json!({"elicitations": vec![&one; MAX_QUESTIONS + 1]});
        assert_eq!(addresses_to_open(&error(-32042, many)), nothing);
        assert!(is_accepted(br#"{"action":"accept"}"#));
        assert!(!is_accepted(br#"{"action":"decline"}"#) && !is_accepted(b"[]"));
    }

    proptest! {
        #[test]
        fn questions_asked_of_a_modern_client_are_read_back_as_they_were(
            asked in proptest::collection::btree_map("[ -~]{1,8}", "[ -~]{0,12}", 1..5), state in "[ -~]{0,30}",
        ) {
            let questions: Vec<Question> = asked
                .into_iter()
                .map(|(key, message)| Question {
                    key,
                    method: "elicitation/create".to_owned(),
                    params: Some(json!({"message": message}).to_string().into()),
                })
                .collect();
            let result = Bytes::from(input_required(&questions, &state));
            let back = InputRequired::read(&Reply::read(&result).expect("an object")).expect("questions");
            prop_assert_eq!(back.questions, questions);
            prop_assert_eq!(back.state, Some(json!(state).to_string().into()));
        }
    }
}
