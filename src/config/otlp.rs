//! Where traces go: `[telemetry.otlp]`, and OpenTelemetry's own variables, which take precedence as all variables do.

use std::time::Duration;

use toml::de::DeValue;

use super::environment::Environment;
use super::problem::Problems;
use super::section::Section;
use crate::files;
use crate::process::{Reference, sole_reference};
use crate::telemetry::traces::{Headers, Sampling, Settings};

/// Path of traces below the endpoint of all signals (OTLP, "HTTP requests").
const PATH: &str = "v1/traces";
const URL: &str = "an address such as \"http://127.0.0.1:4318\", without a password or a query";
const RATIO: &str = "a number from 0 to 1";
const HEADERS: &str = "a table of headers, each with a reference: \"${env:NAME}\" or \"${file:/absolute/path}\", and not the value itself";
const SERVICE: &str = "the name of a service";
/// Name of the attribute that traces are found by.
const SERVICE_NAME: &str = "service.name";
/// Largest file with the value of a header, in bytes.
const MAX_VALUE_FILE: u64 = 16 * 1024;

/// Header whose value is elsewhere, and not read yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HeaderReference {
    name: String,
    /// Reference as it is written.
    value: String,
}

/// Reads the section of the configuration file. Returns the headers that it names.
pub(super) fn read(
    mut s: Section<'_>,
    traces: &mut Settings,
    problems: &mut Problems,
) -> Vec<HeaderReference> {
    s.set("endpoint", URL, &mut traces.endpoint, problems, |value| {
        value.as_str().filter(|text| is_url(text)).map(|text| Some(below(text)))
    });
    s.set("sample", RATIO, &mut traces.sampling.ratio, problems, |value| {
        let number =
            value.as_float().map(|float| float.as_str()).or(value.as_integer().map(|whole| whole.as_str()));
        number?.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio))
    });
    let mut service = None;
    s.set("service_name", SERVICE, &mut service, problems, |value| {
        let name = value.as_str().filter(|name| (1..=256).contains(&name.len()))?;
        Some(Some(name.to_owned()))
    });
    if let Some(name) = service {
        set(&mut traces.resource, SERVICE_NAME.to_owned(), name);
    }
    // What is written in the wrong way may be a secret, so it is not shown.
    let mut headers = Some(Vec::new());
    s.set("headers", HEADERS, &mut headers, problems, |value| Some(header_references(value)));
    if headers.is_none() {
        s.refuse("headers", format!("must be {HEADERS}"), problems);
    }
    s.finish(problems);
    headers.unwrap_or_default()
}

fn header_references(value: &DeValue<'_>) -> Option<Vec<HeaderReference>> {
    let entries = value.as_table()?.iter().map(|(name, value)| {
        let (name, value) = (name.get_ref().to_string(), value.get_ref().as_str()?);
        let is_reference = match sole_reference(value)? {
            // A default would be the value itself.
            Reference::Variable { default, .. } => default.is_none(),
            Reference::File(_) => true,
            Reference::Principal(_) => false,
        };
        (is_reference && Headers::default().set(&name, ""))
            .then(|| HeaderReference { name, value: value.to_owned() })
    });
    entries.collect()
}

/// Sets a header to what it refers to. `Err` is the reason that this cannot be had, without a value.
fn set_header(headers: &mut Headers, header: &HeaderReference, env: &dyn Environment) -> Result<(), String> {
    let text = match sole_reference(&header.value) {
        Some(Reference::Variable { name, .. }) => {
            let value = env.var(name).filter(|value| !value.is_empty());
            value.map(|value| value.to_string_lossy().into_owned()).ok_or("is not set".to_owned())
        }
        Some(Reference::File(path)) => {
            let bytes = files::read(path.as_ref(), MAX_VALUE_FILE).map_err(|error| format!("it {error}"))?;
            String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())
        }
        Some(Reference::Principal(_)) | None => Err("it is no reference".to_owned()),
    }?;
    let text = text.trim_end();
    match !text.is_empty() && headers.set(&header.name, text) {
        true => Ok(()),
        false => Err("it is empty or has characters that no header may have".to_owned()),
    }
}

/// Applies OpenTelemetry's variables. Nothing but an endpoint switches traces on.
pub(super) fn complete(
    traces: &mut Settings,
    headers: &[HeaderReference],
    env: &dyn Environment,
    problems: &mut Problems,
) {
    let get =
        |name: &str| env.var(name).and_then(|text| text.into_string().ok()).filter(|text| !text.is_empty());
    let of_traces = |name: &str| {
        let own = format!("OTEL_EXPORTER_OTLP_TRACES_{name}");
        let shared = format!("OTEL_EXPORTER_OTLP_{name}");
        get(&own).map(|text| (own, text)).or_else(|| get(&shared).map(|text| (shared, text)))
    };
    if let Some((name, url)) = of_traces("ENDPOINT") {
        match is_url(&url) {
            true if name.contains("TRACES") => traces.endpoint = Some(url),
            true => traces.endpoint = Some(below(&url)),
            // It may hold a password, so it is not shown.
            false => problems.source(&name, format!("must be {URL}")),
        }
    }
    let is_off = get("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true"));
    if is_off || get("OTEL_TRACES_EXPORTER").is_some_and(|text| text == "none") {
        traces.endpoint = None;
    }
    // An environment that is made for others is not held against a daemon that makes no traces.
    if traces.endpoint.is_none() {
        return;
    }
    for header in headers {
        if let Err(reason) = set_header(&mut traces.headers, header, env) {
            problems.source(
                "telemetry.otlp.headers",
                format!("{}, of the header '{}', cannot be used: {reason}", header.value, header.name),
            );
        }
    }
    if let Some((name, protocol)) = of_traces("PROTOCOL")
        && protocol != "http/protobuf"
    {
        problems.source(
            &name,
            format!("must be http/protobuf, the only protocol that is spoken (found {protocol:?})"),
        );
    }
    if let Some((name, text)) = of_traces("TIMEOUT") {
        match text.parse() {
            Ok(milliseconds @ 1..=600_000) => traces.timeout = Duration::from_millis(milliseconds),
            _ => problems
                .source(&name, format!("must be a number of milliseconds from 1 to 600000 (found {text:?})")),
        }
    }
    if let Some((name, text)) = of_traces("HEADERS") {
        let mut headers = Headers::default();
        let mut are_headers =
            |pairs: Vec<(String, String)>| pairs.iter().all(|(name, value)| headers.set(name, value));
        match pairs(&text).is_some_and(&mut are_headers) {
            true => traces.headers = headers,
            false => {
                problems.source(&name, "must be headers such as \"api-key=secret,x-tenant=7\"".to_owned())
            }
        }
    }
    if let Some(text) = get("OTEL_RESOURCE_ATTRIBUTES") {
        match pairs(&text) {
            Some(pairs) => pairs.into_iter().for_each(|(name, value)| set(&mut traces.resource, name, value)),
            None => problems.source(
                "OTEL_RESOURCE_ATTRIBUTES",
                "must be attributes such as \"deployment.environment=prod,host.name=a\"".to_owned(),
            ),
        }
    }
    if let Some(name) = get("OTEL_SERVICE_NAME") {
        set(&mut traces.resource, SERVICE_NAME.to_owned(), name);
    }
    if let Some(sampler) = get("OTEL_TRACES_SAMPLER") {
        sample_by(&sampler, get("OTEL_TRACES_SAMPLER_ARG").as_deref(), &mut traces.sampling, problems);
    }
}

fn sample_by(sampler: &str, given: Option<&str>, slot: &mut Sampling, problems: &mut Problems) {
    match sampling(sampler, given) {
        Some(sampling) => *slot = sampling,
        None => problems.source(
            "OTEL_TRACES_SAMPLER",
            format!(
                "must be always_on, always_off, traceidratio, or one of these behind parentbased_, with {RATIO} in \
                 OTEL_TRACES_SAMPLER_ARG for a ratio (found {sampler:?})"
            ),
        ),
    }
}

/// Returns the settings that OpenTelemetry's variables have replaced, with the variable and the value.
pub(super) fn replaced(
    traces: &Settings,
    is_set: &dyn Fn(&str) -> bool,
) -> Vec<(&'static str, &'static str, String)> {
    // Without an endpoint none of them counts.
    let Some(endpoint) = &traces.endpoint else { return Vec::new() };
    let service = traces.resource.iter().find(|(name, _)| name == SERVICE_NAME);
    let quoted = |text: &str| format!("{text:?}");
    let settings = [
        ("telemetry.otlp.endpoint", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", quoted(endpoint)),
        ("telemetry.otlp.endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT", quoted(endpoint)),
        ("telemetry.otlp.sample", "OTEL_TRACES_SAMPLER", traces.sampling.ratio.to_string()),
        (
            "telemetry.otlp.service_name",
            "OTEL_SERVICE_NAME",
            quoted(service.map_or("", |(_, name)| name.as_str())),
        ),
    ];
    let mut replaced: Vec<_> = settings.into_iter().filter(|(_, variable, _)| is_set(variable)).collect();
    // The one for traces goes before the one for everything.
    replaced.dedup_by_key(|(setting, ..)| *setting);
    replaced
}

fn sampling(sampler: &str, given: Option<&str>) -> Option<Sampling> {
    let (by_parent, bare) = match sampler.strip_prefix("parentbased_") {
        Some(bare) => (true, bare),
        None => (false, sampler),
    };
    let ratio = match bare {
        "always_on" => 1.0,
        "always_off" => 0.0,
        "traceidratio" => given.map_or(Some(1.0), |text| text.parse().ok())?,
        _ => return None,
    };
    (0.0..=1.0).contains(&ratio).then_some(Sampling { by_parent, ratio })
}

fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
        && !text.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '@' | '?' | '#'))
}

fn below(url: &str) -> String {
    format!("{}/{PATH}", url.trim_end_matches('/'))
}

fn set(pairs: &mut Vec<(String, String)>, name: String, value: String) {
    pairs.retain(|(known, _)| *known != name);
    pairs.push((name, value));
}

/// Reads pairs as W3C Baggage has them: `name=value`, divided by commas, values with percent signs before what would divide.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (name, value) = part.split_once('=')?;
            let name = name.trim();
            (!name.is_empty()).then_some((name.to_owned(), decoded(value.trim())?))
        })
        .collect()
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, others @ ..] = rest {
        match (first, others) {
            (b'%', [high, low, others @ ..]) => {
                let digits = [*high, *low];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
                rest = others;
            }
            _ => {
                bytes.push(*first);
                rest = others;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::test_support::MapEnvironment;

    fn with(variables: &[(&str, &str)]) -> (Settings, Vec<String>) {
        let (mut traces, mut problems) = (Settings::default(), Problems::default());
        complete(&mut traces, &[], &MapEnvironment::new(variables), &mut problems);
        (traces, problems.lines())
    }

    fn headers(given: [(&str, &str); 2]) -> Headers {
        let mut headers = Headers::default();
        assert!(given.iter().all(|(name, value)| headers.set(name, value)));
        headers
    }

    #[test]
    fn an_endpoint_switches_traces_on_and_nothing_else_does() {
        let of = |variables: &[(&str, &str)]| with(variables).0.endpoint;
        let shared = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/");
        assert_eq!(of(&[shared]).as_deref(), Some("http://c:4318/v1/traces"));
        let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://t/in");
        assert_eq!(of(&[shared, own]).as_deref(), Some("https://t/in"));
        assert_eq!(of(&[shared, ("OTEL_SDK_DISABLED", "true")]), None);
        assert_eq!(of(&[shared, ("OTEL_TRACES_EXPORTER", "none")]), None);
        let others = with(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), ("OTEL_SERVICE_NAME", "x")]);
        assert_eq!(others, (Settings::default(), vec![]));
    }

    #[test]
    fn the_standard_variables_are_honoured() {
        let (traces, problems) = with(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%3Db, x=1"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
            ("OTEL_RESOURCE_ATTRIBUTES", "host.name=h,service.name=low"),
            ("OTEL_SERVICE_NAME", "high"),
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
        ]);
        assert!(problems.is_empty(), "{problems:?}");
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(traces.headers, headers([("api-key", "a=b"), ("x", "1")]));
        assert_eq!(traces.timeout, Duration::from_millis(2500));
        assert_eq!(traces.resource, [pair("host.name", "h"), pair("service.name", "high")]);
        assert_eq!(traces.sampling, Sampling { by_parent: true, ratio: 0.25 });
        assert!(!format!("{traces:?}").contains("a=b"), "a key is not shown");
    }

    #[test]
    fn each_wrong_variable_is_told_what_it_must_be() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");
        for (name, value, wanted) in [
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "localhost:4317", "must be an address"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://u:secret@c:4318", "without a password"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "http/protobuf"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "milliseconds"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a-secret", "headers such as"),
            ("OTEL_RESOURCE_ATTRIBUTES", "=x", "attributes such as"),
            ("OTEL_TRACES_SAMPLER", "sometimes", "always_on"),
        ] {
            let (_, problems) = with(&[endpoint, (name, value)]);
            assert!(
                problems.len() == 1 && problems[0].contains(name) && problems[0].contains(wanted),
                "{problems:?}"
            );
            assert!(!problems[0].contains("a-secret") && !problems[0].contains("u:secret"), "{problems:?}");
        }
    }

    #[test]
    fn what_a_variable_has_replaced_is_told_with_its_name() {
        let variables =
            [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"), ("OTEL_SERVICE_NAME", "of a variable")];
        let told =
            |traces: &Settings| replaced(traces, &|name| variables.iter().any(|(known, _)| *known == name));
        assert!(told(&Settings::default()).is_empty());
        assert_eq!(
            told(&with(&variables).0),
            [
                (
                    "telemetry.otlp.endpoint",
                    "OTEL_EXPORTER_OTLP_ENDPOINT",
                    "\"http://c:4318/v1/traces\"".to_owned()
                ),
                ("telemetry.otlp.service_name", "OTEL_SERVICE_NAME", "\"of a variable\"".to_owned()),
            ]
        );
    }

    #[test]
    fn headers_are_references_and_their_values_are_shown_nowhere() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("key");
        std::fs::write(&file, "Bearer from-a-file\n").expect("it is written");
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");
        let env = MapEnvironment::new(&[endpoint, ("KEY", "from-a-variable")]);
        let header =
            |name: &str, value: String| HeaderReference { name: name.to_owned(), value: value.to_owned() };
        let good = [
            header("api-key", "${env:KEY}".into()),
            header("authorization", format!("${{file:{}}}", file.display())),
        ];
        let (mut traces, mut problems) = (Settings::default(), Problems::default());
        complete(&mut traces, &good, &env, &mut problems);
        assert!(problems.lines().is_empty(), "{:?}", problems.lines());
        let wanted = [("api-key", "from-a-variable"), ("authorization", "Bearer from-a-file")];
        assert_eq!(traces.headers, headers(wanted));
        assert!(!format!("{traces:?}").contains("from-a-"), "{traces:?}");
        let bad = [header("a", "${env:MISSING}".into()), header("b", "${file:/nowhere/at/all}".into())];
        complete(&mut Settings::default(), &bad, &env, &mut problems);
        let told = problems.lines();
        assert!(told.len() == 2 && told[0].contains("${env:MISSING}") && told[1].contains("/nowhere/at/all"));
    }
}
