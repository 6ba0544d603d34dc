//! `wharf publish`: says something in a channel, by the server API.

use std::{io::Read as _, time::Duration};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use wharf::client::{LinkError, ServerAddress, link::HttpClient};

use super::{output::print_line, runtime};

/// Where the server API takes a publication.
const TARGET: &str = "/api/publish";

#[derive(Debug, Args)]
pub struct Flags {
    /// The channel.
    channel: String,
    /// The content, as JSON: '{"text":"hello"}', or '"hello"' for a plain text. `-` reads it from standard input.
    data: String,
    /// Where the server is: http://HOST:PORT or unix:/path.
    #[arg(long, short, value_name = "URL", env = "WHARF_SERVER", default_value = super::DEFAULT_SERVER)]
    server: ServerAddress,
    /// A key of the server API; development mode needs none.
    #[arg(long, value_name = "KEY", env = "WHARF_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// Publish once, however often this command is run with the same key within five minutes.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

#[derive(Serialize)]
struct Body<'a> {
    channel: &'a str,
    data: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<&'a str>,
}

#[derive(Deserialize)]
struct Answer {
    result: Option<Published>,
    error: Option<Fault>,
}

#[derive(Deserialize)]
struct Published {
    #[serde(default)]
    offset: u64,
    #[serde(default)]
    epoch: String,
}

#[derive(Deserialize)]
struct Fault {
    code: u32,
    message: String,
}

/// What is printed: where the publication is in the channel's history.
#[derive(Serialize)]
struct Printed<'a> {
    channel: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    offset: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    epoch: &'a str,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Publishes, and prints the position that the publication got.
pub fn run(flags: &Flags) -> anyhow::Result<()> {
    let data = match flags.data.as_str() {
        "-" => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("standard input cannot be read")?;
            text
        }
        data => data.to_owned(),
    };
    let data = parse_data(&flags.channel, &data)?;
    let published = runtime()?.block_on(publish(flags, &data))?;
    print_line(&Printed { channel: &flags.channel, offset: published.offset, epoch: &published.epoch })?;
    Ok(())
}

/// Data that is not JSON is mostly a text whose quotes the shell took.
fn parse_data(channel: &str, data: &str) -> anyhow::Result<Box<RawValue>> {
    RawValue::from_string(data.trim().to_owned()).map_err(|error| {
        let quoted = serde_json::Value::from(data).to_string().replace('\'', "'\\''");
        anyhow::anyhow!(
            "the data is not JSON ({error}); a text needs quotes of its own, and the shell takes one pair: \
             wharf publish {channel} '{quoted}'"
        )
    })
}

async fn publish(flags: &Flags, data: &RawValue) -> anyhow::Result<Published> {
    let body = Body { channel: &flags.channel, data, idempotency_key: flags.idempotency_key.as_deref() };
    let body = Bytes::from(serde_json::to_vec(&body)?);
    let mut headers = vec![("Content-Type", "application/json")];
    headers.extend(flags.api_key.as_deref().map(|key| ("X-API-Key", key)));
    let http = HttpClient::new(&flags.server.endpoint);
    let answer = http.post(TARGET, &headers, body, Duration::ZERO).await?;
    let answer = answer.accepted(TARGET).map_err(|error| explain(error, flags.api_key.is_some()))?;
    let answer: Answer =
        serde_json::from_slice(&answer.body).context("the server's answer cannot be read")?;
    match answer {
        Answer { error: Some(Fault { code, message }), .. } => {
            bail!("the server refused to publish to {}: {message} (error {code})", flags.channel)
        }
        Answer { result, error: None } => Ok(result.unwrap_or(Published { offset: 0, epoch: String::new() })),
    }
}

/// Why the server API took no request.
pub fn explain(error: LinkError, with_key: bool) -> anyhow::Error {
    match error {
        LinkError::Refused { status: 401, .. } if with_key => {
            anyhow::anyhow!(
                "the server does not know this API key; `keys` in [api] of its configuration holds them"
            )
        }
        LinkError::Refused { status: 401, .. } => {
            anyhow::anyhow!("the server wants an API key; give --api-key, or set WHARF_API_KEY")
        }
        error => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_without_quotes_is_shown_with_them() {
        let error = parse_data("news", "it's \"me\"").expect_err("no JSON").to_string();
        assert!(error.ends_with(r#"wharf publish news '"it'\''s \"me\""'"#), "{error}");
    }

    #[test]
    fn data_is_passed_on_as_it_is() {
        let data = parse_data("news", " {\"a\": 1.50}\n").expect("JSON");
        let body = Body { channel: "news", data: &data, idempotency_key: None };
        let body = serde_json::to_string(&body).expect("JSON");
        assert_eq!(body, r#"{"channel":"news","data":{"a": 1.50}}"#);
    }
}
