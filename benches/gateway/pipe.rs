//! The `pipe` baseline: the least program between HTTP and one child that is still correct. It
//! reads the call, gives it an id of its own, writes the frame, finds the caller of the reply by
//! that id and passes the `result` on as text. Frames that are ready together are written
//! together. It has no keys, no limits, no catalog, no deadlines and no recovery: when the child
//! goes, it goes.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io::Write;
use std::process::Stdio;
use std::rc::Rc;

use anyhow::{Context, Result, bail};
use bytes::{Buf, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::value::RawValue;
use slab::Slab;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{Notify, oneshot};
use tokio::task::LocalSet;

use crate::process;

#[derive(Deserialize)]
struct Call<'a> {
    tool: &'a str,
    #[serde(borrow)]
    arguments: &'a RawValue,
}

#[derive(Deserialize)]
struct Reply<'a> {
    id: Option<usize>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
}

/// What connections, writer and reader share; all of them run on one thread.
#[derive(Default)]
struct Pipe {
    pending: RefCell<Slab<oneshot::Sender<Bytes>>>,
    frames: RefCell<Vec<u8>>,
    frames_ready: Notify,
}

pub(crate) async fn serve() -> Result<()> {
    let (mut child, stdin, stdout) = start_child()?;
    let pipe = Rc::new(Pipe::default());
    LocalSet::new()
        .run_until(async {
            tokio::select! {
                outcome = accept(pipe.clone()) => outcome,
                outcome = write_frames(pipe.clone(), stdin) => outcome,
                outcome = read_replies(pipe.clone(), stdout) => outcome,
                () = process::until_stdin_ends() => Ok(()),
            }
        })
        .await?;
    // Its stdin is closed by now, which ends it.
    child.wait().await.context("waiting for the child")?;
    Ok(())
}

fn start_child() -> Result<(Child, ChildStdin, ChildStdout)> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("--echo-child")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("starting the child")?;
    let stdin = child.stdin.take().context("the child has no stdin")?;
    let stdout = child.stdout.take().context("the child has no stdout")?;
    Ok((child, stdin, stdout))
}

async fn accept(pipe: Rc<Pipe>) -> Result<()> {
    let listener = process::listen_and_announce().await?;
    loop {
        let (stream, _) = listener.accept().await.context("accepting")?;
        stream.set_nodelay(true)?;
        let pipe = pipe.clone();
        tokio::task::spawn_local(async move {
            let service = service_fn(move |request| answer(pipe.clone(), request));
            // A client that closes its connection is how every one of them ends.
            http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
        });
    }
}

async fn answer(pipe: Rc<Pipe>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = match call(&pipe, request).await {
        Ok(result) => Response::new(Full::new(result)),
        Err(error) => {
            let mut response = Response::new(Full::new(Bytes::from(format!("{error:#}\n"))));
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            response
        }
    };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

async fn call(pipe: &Pipe, request: Request<Incoming>) -> Result<Bytes> {
    let body = request.into_body().collect().await.context("reading the body")?.to_bytes();
    let call: Call<'_> = serde_json::from_slice(&body).context("no call")?;
    let (sender, reply) = oneshot::channel();
    let id = pipe.pending.borrow_mut().insert(sender);
    write_call(&mut pipe.frames.borrow_mut(), id, &call)?;
    pipe.frames_ready.notify_one();
    reply.await.context("the child has gone")
}

fn write_call(frames: &mut Vec<u8>, id: usize, call: &Call<'_>) -> Result<()> {
    let (tool, arguments) = (serde_json::to_string(call.tool)?, call.arguments.get());
    writeln!(
        frames,
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":{tool},"arguments":{arguments}}}}}"#
    )?;
    Ok(())
}

async fn write_frames(pipe: Rc<Pipe>, mut stdin: ChildStdin) -> Result<()> {
    let mut batch = Vec::new();
    loop {
        pipe.frames_ready.notified().await;
        std::mem::swap(&mut batch, &mut pipe.frames.borrow_mut());
        stdin.write_all(&batch).await.context("writing to the child")?;
        batch.clear();
    }
}

async fn read_replies(pipe: Rc<Pipe>, mut stdout: ChildStdout) -> Result<()> {
    let mut input = BytesMut::with_capacity(64 * 1024);
    loop {
        input.reserve(16 * 1024);
        if stdout.read_buf(&mut input).await.context("reading from the child")? == 0 {
            bail!("the child closed its stdout");
        }
        while let Some(end) = memchr::memchr(b'\n', &input) {
            let line = input.split_to(end).freeze();
            input.advance(1);
            deliver(&pipe, &line)?;
        }
    }
}

fn deliver(pipe: &Pipe, line: &Bytes) -> Result<()> {
    let reply: Reply<'_> = serde_json::from_slice(line).context("the child wrote no JSON-RPC message")?;
    let (Some(id), Some(result)) = (reply.id, reply.result) else {
        bail!("the child wrote something other than a result");
    };
    let caller = pipe.pending.borrow_mut().try_remove(id).context("a reply to no call")?;
    // Nobody there: the client has gone, and its answer with it.
    caller.send(line.slice_ref(result.get().as_bytes())).ok();
    Ok(())
}
