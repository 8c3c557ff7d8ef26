//! `submit`, `get`, `status` and `health`: one question to a node.

use super::args::{ApiArgs, GetArgs, Op, SubmitArgs};
use super::say;
use crate::api::Wait;
use crate::client::{Answer, Client};
use crate::error::Stop;
use crate::hex;
use serde_json::{Value, json};
use std::time::Duration;

/// How much longer than the node itself a client waits.
const GRACE: Duration = Duration::from_secs(2);

fn client(node: &ApiArgs) -> Result<Client, Stop> {
    Client::new(&node.api, node.timeout + GRACE)
}

/// What a node says, unless it complains.
fn accepted(answer: Answer) -> Result<Answer, Stop> {
    if answer.status.is_success() {
        return Ok(answer);
    }
    let complaint = answer.json()["error"].as_str().map_or_else(|| answer.text(), str::to_owned);
    let line = format!("{}: {}", answer.status.as_u16(), complaint.trim());
    Err(if answer.status.is_client_error() { Stop::Usage(line) } else { Stop::Unavailable(line) })
}

pub(super) async fn submit(args: SubmitArgs) -> Result<(), Stop> {
    let text = |bytes: &str| json!({ "hex": hex::encode(bytes.as_bytes()) });
    let request = match &args.op {
        Op::Put { key, value } => json!({ "put": { "key": text(key), "value": text(value) } }),
        Op::Get { key } => json!({ "get": text(key) }),
        Op::Delete { key } => json!({ "delete": text(key) }),
        Op::Raw { hex } => json!({ "op_hex": hex }),
    };
    let timeout_ms = u64::try_from(args.node.timeout.as_millis()).unwrap_or(u64::MAX);
    let body = json!({ "wait": args.wait.name(), "timeout_ms": timeout_ms, "request": request });
    let answer = client(&args.node)?.post("/v1/requests", "application/json", body.to_string()).await?;
    let result = accepted(answer)?.json()["results"][0].clone();
    say(&result.to_string())?;
    let outcome = result["outcome"].as_str().unwrap_or_default();
    let is_done = match args.wait {
        Wait::None => outcome == "sent",
        Wait::Accepted => outcome == "accepted",
        Wait::Finalized => outcome.starts_with("executed"),
    };
    if is_done { Ok(()) } else { Err(Stop::Unavailable(format!("the request was not done: {result}"))) }
}

pub(super) async fn get(args: GetArgs) -> Result<(), Stop> {
    let path = format!("/v1/kv/{}?encoding=hex", hex::encode(args.key.as_bytes()));
    let answer = client(&args.node)?.get(&path).await?;
    if answer.status == hyper::StatusCode::NOT_FOUND {
        return Err(Stop::Unavailable(format!("{}: not there at this replica", args.key)));
    }
    let value = accepted(answer)?.json()["value"].clone();
    match &value["text"] {
        Value::String(text) => say(text),
        _ => say(value["hex"].as_str().unwrap_or_default()),
    }
}

pub(super) async fn status(args: ApiArgs) -> Result<(), Stop> {
    let status = accepted(client(&args)?.get("/v1/status").await?)?.json();
    say(&serde_json::to_string_pretty(&status).unwrap_or_default())
}

pub(super) async fn health(args: ApiArgs) -> Result<(), Stop> {
    let answer = client(&args)?.get("/health/ready").await?;
    let text = answer.text();
    if answer.status.is_success() { say(text.trim()) } else { Err(Stop::Unavailable(text.trim().to_owned())) }
}
