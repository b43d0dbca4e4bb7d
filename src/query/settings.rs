//! Settings of the model and its endpoint. The values are checked; their source is not known here.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// The public endpoint of OpenAI, which is asked unless another one is configured.
const OPENAI: &str = "https://api.openai.com/v1";

const REDACTED: &str = "[REDACTED]";
/// Number of leading characters of a key that tell more than that it is one.
const TOO_MUCH: usize = 6;

/// A key for the model's endpoint. Its `Debug` form hides the key.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

/// Error for a text that cannot be sent in a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key is one line of printable ASCII")]
pub struct MalformedKey;

impl ApiKey {
    /// Creates a key, without the space around it.
    pub fn new(text: &str) -> Result<ApiKey, MalformedKey> {
        let text = text.trim();
        let usable = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if usable { Ok(ApiKey(text.to_owned())) } else { Err(MalformedKey) }
    }

    /// Returns the key itself, for the one header that it goes into.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }

    /// Returns a text without the key in it, and without the beginning of the key at its end, where it was cut
    /// off.
    pub(super) fn redact(&self, text: &str) -> String {
        let mut text = text.replace(&self.0, REDACTED);
        let cut_off = (TOO_MUCH..self.0.len()).rev().find(|length| text.ends_with(&self.0[..*length]));
        if let Some(length) = cut_off {
            text.truncate(text.len() - length);
            text.push_str(REDACTED);
        }
        text
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

/// Source of the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A key that was in the environment, or in a `.env` file, at the start.
    Known(ApiKey),
    /// A file, read for each query, so that a key can be changed.
    File(PathBuf),
}

/// Header that the key goes into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyHeader {
    /// `api-key` for hosts of Azure, `Authorization: Bearer` for all others.
    #[default]
    Auto,
    /// `Authorization: Bearer`, for every host.
    Bearer,
    /// `api-key`, as Azure has it, for every host.
    ApiKey,
}

/// Settings of the model and of questions.
#[derive(Debug, Clone, PartialEq)]
pub struct LlmSettings {
    /// URL that `/chat/completions` is appended to; `None` for OpenAI's own. A query in it stays behind the path.
    pub base_url: Option<String>,
    /// Source of the key. If it is `None`, only a configured endpoint is asked.
    pub key: Option<KeySource>,
    /// Header that the key goes into.
    pub key_header: KeyHeader,
    /// The model of questions that name none.
    pub model: String,
    /// Other names of models, and the models that they stand for.
    pub aliases: BTreeMap<String, String>,
    /// The longest silence of the endpoint.
    pub timeout: Duration,
    /// The most new tries of a turn that got 429, a 5xx, or no connection.
    pub retries: u32,
    /// The most turns of a model for one question.
    pub max_turns: usize,
    /// Time limit for a question.
    pub query_timeout: Duration,
    /// The most questions in progress.
    pub max_queries: usize,
    /// The most bytes of a tool's result that a model gets.
    pub max_result: usize,
    /// `true` if the model is shown images that tools return.
    pub images: bool,
}

impl Default for LlmSettings {
    fn default() -> Self {
        LlmSettings {
            base_url: None,
            key: None,
            key_header: KeyHeader::Auto,
            model: "gpt-3.5-turbo".to_owned(),
            aliases: BTreeMap::new(),
            timeout: Duration::from_secs(120),
            retries: 2,
            max_turns: 30,
            query_timeout: Duration::from_secs(300),
            max_queries: 16,
            max_result: 64 * 1024,
            images: false,
        }
    }
}

impl LlmSettings {
    /// Returns the model to ask: the requested or the default one, with aliases resolved.
    pub fn model(&self, asked: Option<&str>) -> String {
        let asked = asked.unwrap_or(&self.model);
        self.aliases.get(asked).cloned().unwrap_or_else(|| asked.to_owned())
    }

    /// Returns the URL to post to.
    pub(super) fn endpoint(&self) -> String {
        let base = self.base_url.as_deref().unwrap_or(OPENAI);
        let (path, query) = base.split_once('?').map_or((base, None), |(path, query)| (path, Some(query)));
        let path = format!("{}/chat/completions", path.trim_end_matches('/'));
        query.map_or(path.clone(), |query| format!("{path}?{query}"))
    }

    /// Reports whether the key goes into `api-key`.
    pub(super) fn is_azure(&self) -> bool {
        match self.key_header {
            KeyHeader::Bearer => false,
            KeyHeader::ApiKey => true,
            KeyHeader::Auto => {
                let rest =
                    self.base_url.as_deref().and_then(|url| url.split_once("://")).map(|(_, rest)| rest);
                let authority = rest.and_then(|rest| rest.split(['/', '?']).next()).unwrap_or_default();
                let host = authority.split(':').next().unwrap_or_default();
                host.ends_with(".azure.com") || host.ends_with(".azure.us")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(base_url: &str) -> LlmSettings {
        LlmSettings { base_url: Some(base_url.to_owned()), ..LlmSettings::default() }
    }

    #[test]
    fn the_path_goes_before_the_query_and_behind_one_slash() {
        assert_eq!(LlmSettings::default().endpoint(), "https://api.openai.com/v1/chat/completions");
        assert_eq!(
            with("http://127.0.0.1:11434/v1/").endpoint(),
            "http://127.0.0.1:11434/v1/chat/completions"
        );
        let azure = with("https://x.openai.azure.com/openai/deployments/d?api-version=2024-10-21");
        assert_eq!(
            azure.endpoint(),
            "https://x.openai.azure.com/openai/deployments/d/chat/completions?api-version=2024-10-21"
        );
        assert!(azure.is_azure());
        assert!(!with("https://azure.com.example/v1").is_azure());
        assert!(!LlmSettings::default().is_azure());
    }

    #[test]
    fn a_name_stands_for_what_is_configured() {
        let mut settings = LlmSettings::default();
        settings.aliases.insert("gpt-3.5-turbo".to_owned(), "llama3.1".to_owned());
        assert_eq!(settings.model(None), "llama3.1");
        assert_eq!(settings.model(Some("gpt-4o")), "gpt-4o");
    }

    #[test]
    fn a_key_is_never_shown() {
        let key = ApiKey::new(" sk-123 \n").expect("a key");
        assert_eq!((key.expose(), format!("{key:?}").as_str()), ("sk-123", "[REDACTED]"));
        assert_eq!(key.redact("bad key sk-123!"), "bad key [REDACTED]!");
        let key = ApiKey::new("sk-0123456789").expect("a key");
        assert_eq!(key.redact("sk-0123456789 is bad: sk-012345"), "[REDACTED] is bad: [REDACTED]");
        assert_eq!(key.redact("I ask"), "I ask");
        for wrong in ["", "  ", "a b", "a\nb", "ä"] {
            assert_eq!(ApiKey::new(wrong), Err(MalformedKey), "{wrong:?}");
        }
    }
}
