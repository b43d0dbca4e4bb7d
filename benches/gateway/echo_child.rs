//! The MCP server behind every variant: newline-delimited JSON-RPC on stdio, one tool `echo`
//! that gives back its `nonce`. It spends as little as a correct server can, and the same for
//! every variant: all requests that one read brought are answered with one write. What it answers
//! is what the remote one answers (`remote_echo.rs`).

use std::io::{Read, Write};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::value::RawValue;

const READ_SIZE: usize = 64 * 1024;

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    method: Option<&'a str>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct CallParams<'a> {
    #[serde(borrow)]
    arguments: EchoArguments<'a>,
}

#[derive(Deserialize)]
struct EchoArguments<'a> {
    nonce: &'a str,
}

/// What the server has and how it speaks.
#[derive(Clone, Copy)]
pub(crate) struct Offer {
    pub(crate) tools: usize,
    /// Whether it is of 2026-07-28, and answers `server/discover`.
    pub(crate) modern: bool,
    /// Bytes of [`FILLER`] after the nonce in each answer.
    pub(crate) filler: usize,
}

/// What a long answer is filled with.
pub(crate) const FILLER: u8 = b'x';

/// Serves until stdin ends, with so many tools and so much filler.
pub(crate) fn run(tools: usize, filler: usize) -> Result<()> {
    let offer = Offer { tools, modern: false, filler };
    let mut stdin = std::io::stdin().lock();
    let mut stdout = std::io::stdout().lock();
    let mut input = Vec::with_capacity(2 * READ_SIZE);
    let mut output = Vec::with_capacity(READ_SIZE);
    let mut chunk = vec![0; READ_SIZE];
    loop {
        let count = stdin.read(&mut chunk).context("reading stdin")?;
        if count == 0 {
            return Ok(());
        }
        input.extend_from_slice(chunk.get(..count).unwrap_or_default());
        let Some(end) = memchr::memrchr(b'\n', &input) else { continue };
        for line in input.get(..end).unwrap_or_default().split(|byte| *byte == b'\n') {
            if answer(line, offer, &mut output)? {
                output.push(b'\n');
            }
        }
        input.drain(..=end);
        // Stdout keeps complete lines itself; these are all complete.
        stdout.write_all(&output).and_then(|()| stdout.flush()).context("writing stdout")?;
        output.clear();
    }
}

/// Appends the answer to a message. Returns `false` where none is due, to a notification.
pub(crate) fn answer(message: &[u8], offer: Offer, output: &mut Vec<u8>) -> Result<bool> {
    let message: Message<'_> = serde_json::from_slice(message).context("no JSON-RPC message")?;
    let (Some(id), Some(method)) = (message.id, message.method) else { return Ok(false) };
    let id = id.get();
    let complete = if offer.modern { r#""resultType":"complete","# } else { "" };
    match method {
        "tools/call" => {
            let params = message.params.context("tools/call without params")?;
            let params: CallParams<'_> =
                serde_json::from_str(params.get()).context("tools/call without arguments.nonce")?;
            let nonce = params.arguments.nonce;
            write!(
                output,
                r#"{{"jsonrpc":"2.0","id":{id},"result":{{{complete}"content":[{{"type":"text","text":"{nonce}"#
            )?;
            output.resize(output.len() + offer.filler, FILLER);
            output.extend_from_slice(br#""}],"isError":false}}"#);
        }
        "server/discover" if offer.modern => write!(
            output,
            r#"{{"jsonrpc":"2.0","id":{id},"result":{{{complete}"supportedVersions":["2026-07-28"],"capabilities":{{"tools":{{}}}},"serverInfo":{{"name":"bench-echo","version":"1"}},"ttlMs":0,"cacheScope":"private"}}}}"#
        )?,
        "initialize" if !offer.modern => write!(
            output,
            r#"{{"jsonrpc":"2.0","id":{id},"result":{{"protocolVersion":"2025-11-25","capabilities":{{"tools":{{}}}},"serverInfo":{{"name":"bench-echo","version":"1"}}}}}}"#
        )?,
        "tools/list" => write_list(id, offer, output)?,
        "ping" => write!(
            output,
            r#"{{"jsonrpc":"2.0","id":{id},"result":{{{}}}}}"#,
            complete.trim_end_matches(',')
        )?,
        _ => write!(
            output,
            r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32601,"message":"Method not found"}}}}"#
        )?,
    }
    Ok(true)
}

fn write_list(id: &str, offer: Offer, output: &mut Vec<u8>) -> Result<()> {
    let complete =
        if offer.modern { r#""resultType":"complete","ttlMs":0,"cacheScope":"private","# } else { "" };
    write!(output, r#"{{"jsonrpc":"2.0","id":{id},"result":{{{complete}"tools":["#)?;
    for number in 0..offer.tools {
        let (comma, name) = match number {
            0 => ("", "echo".to_owned()),
            _ => (",", format!("tool_{number}")),
        };
        write!(
            output,
            r#"{comma}{{"name":"{name}","description":"Gives back its nonce","inputSchema":{{"type":"object","properties":{{"nonce":{{"type":"string"}}}},"required":["nonce"]}}}}"#
        )?;
    }
    output.extend_from_slice(b"]}}");
    Ok(())
}
