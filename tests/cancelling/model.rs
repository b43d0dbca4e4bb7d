//! A model's endpoint that has one tool called and then has said what it had to say.

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const CALL: &str =
    r#"{"id":"c1","type":"function","function":{"name":"echo","arguments":"{\"text\":\"x\"}"}}"#;

/// Listens until the task is aborted; where.
pub(crate) async fn start() -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/v1", listener.local_addr().expect("bound"));
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Who asks leaves in the middle, on purpose.
            tokio::spawn(async move { drop(answer(stream).await) });
        }
    });
    (url, serving)
}

async fn answer(stream: TcpStream) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut length, mut line) = (0, String::new());
    loop {
        line.clear();
        if stream.read_line(&mut line).await? <= 2 {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let body = String::from_utf8_lossy(&body).replace(' ', "");
    let was_called = body.contains(r#""role":"tool""#);
    let (kind, text) = match (body.contains(r#""stream":true"#), was_called) {
        (false, false) => ("application/json", format!(r#"{{"choices":[{{"index":0,"message":{{"role":"assistant","content":null,"tool_calls":[{CALL}]}},"finish_reason":"tool_calls"}}]}}"#)),
        (false, true) => ("application/json", r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"Done."},"finish_reason":"stop"}]}"#.to_owned()),
        (true, false) => ("text/event-stream", events(&CALL.replacen('{', r#"{"index":0,"#, 1).to_string(), "tool_calls", true)),
        (true, true) => ("text/event-stream", events("Done.", "stop", false)),
    };
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        text.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(text.as_bytes()).await
}

fn events(said: &str, reason: &str, is_call: bool) -> String {
    let delta = match is_call {
        true => format!(r#"{{"role":"assistant","tool_calls":[{said}]}}"#),
        false => format!(r#"{{"role":"assistant","content":"{said}"}}"#),
    };
    format!(
        "data: {{\"choices\":[{{\"index\":0,\"delta\":{delta}}}]}}\n\n\
         data: {{\"choices\":[{{\"index\":0,\"delta\":{{}},\"finish_reason\":\"{reason}\"}}]}}\n\ndata: [DONE]\n\n"
    )
}
