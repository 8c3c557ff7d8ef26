//! The JSON form of POST /v1/requests.

use super::submit::{Options, Outcome, Wait, nonces};
use super::{Api, MAX_OPS, Problem};
use crate::hex;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cretoai_core::bytes::Bytes;
use cretoai_core::kv::{KvOp, KvResult};
use cretoai_core::reply::NoOp;
use cretoai_core::request::{ClientRequest, RequestId};
use cretoai_core::time::Instant;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// The body: one request or several.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Submission {
    wait: Option<Wait>,
    timeout_ms: Option<u64>,
    request: Option<RequestJson>,
    #[serde(default)]
    requests: Vec<RequestJson>,
}

/// A request: exactly one operation, in one of its forms, or a whole signed request.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RequestJson {
    put: Option<Pair>,
    get: Option<Text>,
    delete: Option<Text>,
    compare_and_swap: Option<Swap>,
    op_hex: Option<String>,
    op_base64: Option<String>,
    /// A client's own request, with its signature, in the encoding of the protocol.
    signed_hex: Option<String>,
    nonce: Option<String>,
    expires_ns: Option<u64>,
}

/// Bytes, as text or as hexadecimal digits.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Text {
    Plain(String),
    Hex { hex: String },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    key: Text,
    value: Text,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Swap {
    key: Text,
    expected: Option<Text>,
    value: Option<Text>,
}

const FORMS: &str = "put, get, delete, compare_and_swap, op_hex, op_base64 or signed_hex";

pub(super) async fn post(api: &Arc<Api>, options: Options, body: &[u8]) -> Result<Response, Problem> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let submission: Submission = serde_path_to_error::deserialize(&mut json)
        .map_err(|error| Problem::bad(format!("{}: {}", error.path(), error.inner())))?;
    let Submission { wait, timeout_ms, request, requests } = submission;
    let options = Options { wait: wait.or(options.wait), timeout_ms: timeout_ms.or(options.timeout_ms) };
    let patience = options.patience()?;
    let all: Vec<RequestJson> = request.into_iter().chain(requests).collect();
    if all.is_empty() || MAX_OPS < all.len() {
        let line = format!("requests: {} of them; must be between 1 and {MAX_OPS}", all.len());
        return Err(Problem::bad(line));
    }
    let expires = api.expiry();
    let mut requests = Vec::with_capacity(all.len());
    for ((index, request), nonce) in all.iter().enumerate().zip(nonces(all.len())?) {
        let made = make(api, request, nonce, expires);
        requests.push(made.map_err(|complaint| Problem::bad(format!("requests[{index}].{complaint}")))?);
    }
    let outcomes = api.submit(requests, patience).await?;
    let results: Vec<Value> = outcomes.iter().map(|(id, outcome)| describe(*id, outcome)).collect();
    Ok(axum::Json(json!({ "results": results })).into_response())
}

fn make(api: &Api, given: &RequestJson, nonce: [u8; 16], expires: Instant) -> Result<Arc<ClientRequest>, String> {
    if let Some(signed) = &given.signed_hex {
        let bytes = hex::decode(signed).ok_or("signed_hex: must be hexadecimal digits, two a byte")?;
        let (request, rest): (ClientRequest, _) =
            postcard::take_from_bytes(&bytes).map_err(|error| format!("signed_hex: no request: {error}"))?;
        // One request has one encoding, or its id would not name it.
        let is_canonical = rest.is_empty() && postcard::to_stdvec(&request).is_ok_and(|again| again == bytes);
        return if is_canonical { Ok(Arc::new(request)) } else { Err("signed_hex: not in canonical form".to_owned()) };
    }
    let nonce = match &given.nonce {
        None => nonce,
        Some(text) => hex::array(text).ok_or("nonce: must be 32 hexadecimal digits; leave it out for a random one")?,
    };
    let expires = given.expires_ns.map_or(expires, Instant);
    Ok(api.request(operation(given)?, nonce, expires))
}

fn operation(given: &RequestJson) -> Result<Bytes, String> {
    let forms = [
        given.put.is_some(),
        given.get.is_some(),
        given.delete.is_some(),
        given.compare_and_swap.is_some(),
        given.op_hex.is_some(),
        given.op_base64.is_some(),
    ];
    match forms.iter().filter(|is_given| **is_given).count() {
        1 => {}
        0 => return Err(format!("op: nothing to do; name one of {FORMS}")),
        count => return Err(format!("op: {count} operations; name one of {FORMS}, and send several requests")),
    }
    if let Some(text) = &given.op_hex {
        return hex::decode(text).map(Bytes).ok_or_else(|| "op_hex: must be hexadecimal digits, two a byte".to_owned());
    }
    if let Some(text) = &given.op_base64 {
        return STANDARD.decode(text).map(Bytes).map_err(|error| format!("op_base64: {error}; use padded base64"));
    }
    let op = if let Some(Pair { key, value }) = &given.put {
        KvOp::Put { key: key.bytes("put.key")?, value: value.bytes("put.value")? }
    } else if let Some(key) = &given.get {
        KvOp::Get { key: key.bytes("get")? }
    } else if let Some(key) = &given.delete {
        KvOp::Delete { key: key.bytes("delete")? }
    } else if let Some(Swap { key, expected, value }) = &given.compare_and_swap {
        let some = |text: &Option<Text>, field| text.as_ref().map(|text| text.bytes(field)).transpose();
        KvOp::CompareAndSwap {
            key: key.bytes("compare_and_swap.key")?,
            expected: some(expected, "compare_and_swap.expected")?,
            value: some(value, "compare_and_swap.value")?,
        }
    } else {
        unreachable!("exactly one form is given")
    };
    Ok(op.encode())
}

impl Text {
    fn bytes(&self, field: &str) -> Result<Bytes, String> {
        match self {
            Self::Plain(text) => Ok(Bytes(text.as_bytes().to_vec())),
            Self::Hex { hex } => {
                let bytes = hex::decode(hex);
                bytes.map(Bytes).ok_or_else(|| format!("{field}.hex: must be hexadecimal digits, two a byte"))
            }
        }
    }
}

fn describe(id: RequestId, outcome: &Outcome) -> Value {
    let mut described = json!({ "id": id.to_string(), "outcome": outcome.name() });
    let mut put = |key: &str, value: Value| {
        described[key] = value;
    };
    match outcome {
        Outcome::Executed(slot, result) => {
            put("slot", json!(slot.0));
            put("result", kv_result(&result.0));
            put("result_hex", json!(hex::encode(&result.0)));
        }
        Outcome::ExecutedBefore(slot) => put("slot", json!(slot.0)),
        Outcome::NoOp(slot, reason) => {
            put("slot", json!(slot.0));
            put("reason", json!(no_op_name(*reason)));
        }
        Outcome::Ignored(_) | Outcome::Busy => put("reason", json!(outcome.refusal())),
        Outcome::Rejected(rejected) => put("reason", json!(rejected.to_string())),
        Outcome::Sent | Outcome::Accepted | Outcome::Unknown => {}
    }
    described
}

fn no_op_name(reason: NoOp) -> &'static str {
    match reason {
        NoOp::Expired => "expired",
        NoOp::TooEarly => "too_early",
        NoOp::Full => "full",
    }
}

/// Bytes for people: text if they are text, and hexadecimal digits always.
pub(super) fn readable(bytes: Option<&Bytes>) -> Value {
    let Some(Bytes(bytes)) = bytes else { return Value::Null };
    json!({ "text": std::str::from_utf8(bytes).ok(), "hex": hex::encode(bytes) })
}

/// A result of the key-value store, for people.
fn kv_result(bytes: &[u8]) -> Value {
    match KvResult::decode(bytes) {
        Ok(KvResult::Value(value)) => json!({ "value": readable(value.as_ref()) }),
        Ok(KvResult::Stored) => json!({ "stored": true }),
        Ok(KvResult::Deleted(was_there)) => json!({ "deleted": was_there }),
        Ok(KvResult::Swapped) => json!({ "swapped": true }),
        Ok(KvResult::Differs(value)) => json!({ "swapped": false, "differs": readable(value.as_ref()) }),
        Ok(KvResult::Malformed) => json!({ "error": "malformed" }),
        Ok(KvResult::TooLong) => json!({ "error": "too_long" }),
        Err(_) => Value::Null,
    }
}
