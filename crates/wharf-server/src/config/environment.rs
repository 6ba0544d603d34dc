//! The environment: `WHARF_LIMITS__MESSAGE_BYTES=131072` is the key `message_bytes` of the table `[limits]`.
//!
//! A value is read as TOML, and where that does not fit as a list cut at commas, or as plain text. So lists are
//! `WHARF_LISTEN=127.0.0.1:8000,unix:/run/wharf.sock`, and namespaces one inline TOML array.

use std::ffi::OsString;

use serde::Deserialize;
use toml::{Table, Value};

use super::{
    document::Document,
    error::{ConfigError, Origin, Unknown, reword},
};

/// What every variable of Wharf's starts with.
const PREFIX: &str = "WHARF_";

/// Variables that stand for flags; the command line reads them.
const OF_FLAGS: [&str; 4] = ["WHARF_CONFIG", "WHARF_INSECURE", "WHARF_SERVER", "WHARF_API_KEY"];

/// The tables of the file, for the hint about underscores.
const TABLES: [&str; 10] =
    ["tls", "api", "client", "websocket", "channel", "compression", "paths", "limits", "times", "rpc"];

/// One variable that could be read as a [`Document`] with one key.
pub struct VariableLayer {
    pub name: String,
    /// The key that it sets, such as `limits.message_bytes`.
    pub key: String,
    pub document: Document,
}

impl VariableLayer {
    /// Reads all variables that are Wharf's, in the order of their names.
    pub fn read_all(
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Vec<VariableLayer>, ConfigError> {
        let mut layers = Vec::new();
        for (name, value) in variables {
            let Some(name) = name.to_str().filter(|name| is_configuration(name)) else { continue };
            let Some(value) = value.to_str() else {
                return Err(fault(name, String::new(), "the value is not UTF-8 text".to_owned()));
            };
            layers.push(Self::read(name, value)?);
        }
        layers.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(layers)
    }

    fn read(name: &str, value: &str) -> Result<Self, ConfigError> {
        let path: Vec<String> = name[PREFIX.len()..].split("__").map(str::to_lowercase).collect();
        let key = path.join(".");
        let mut first_error = None;
        for reading in readings(value) {
            match Document::deserialize(nest(&path, reading)) {
                Ok(document) => return Ok(Self { name: name.to_owned(), key, document }),
                Err(error) => first_error.get_or_insert(error),
            };
        }
        // There is always one reading: the plain text.
        let message = first_error.map(|error| explain(&path, error.message())).unwrap_or_default();
        Err(fault(name, key, message))
    }
}

fn fault(name: &str, key: String, message: String) -> ConfigError {
    ConfigError { origin: Origin::Variable(name.to_owned()), key, message }
}

/// Kubernetes sets `NAME_PORT`, `NAME_PORT_80_TCP` and `NAME_SERVICE_HOST` in every container beside a service that
/// is called `name`; a service called `wharf` must not keep Wharf from starting.
fn is_configuration(name: &str) -> bool {
    name.strip_prefix(PREFIX).is_some_and(|rest| {
        !OF_FLAGS.contains(&name)
            && rest != "PORT"
            && !rest.starts_with("PORT_")
            && !rest.starts_with("SERVICE_")
    })
}

/// What a value may mean, the likeliest first.
fn readings(value: &str) -> Vec<Value> {
    let mut readings = Vec::new();
    if let Ok(typed) = value.parse::<Value>() {
        readings.push(typed);
    }
    if value.contains(',') {
        readings
            .push(Value::Array(value.split(',').map(|item| Value::String(item.trim().to_owned())).collect()));
    }
    readings.push(Value::String(value.to_owned()));
    readings
}

fn nest(path: &[String], value: Value) -> Table {
    let mut nested = value;
    for key in path.iter().skip(1).rev() {
        nested = Value::Table(Table::from_iter([(key.clone(), nested)]));
    }
    Table::from_iter([(path[0].clone(), nested)]) // `split` gives at least one part.
}

fn explain(path: &[String], message: &str) -> String {
    let Some(unknown) = Unknown::parse(message) else { return reword(message) };
    // The unknown name is a part of the path, or a key inside of an inline table.
    let Some(depth) = path.iter().position(|part| part == unknown.found) else {
        return unknown.explain(|name| format!("`{name}`"));
    };
    if let (0, Some(rest)) = (depth, path[0].split_once('_').filter(|(table, _)| TABLES.contains(table))) {
        let spelled = format!("{PREFIX}{}__{}", rest.0.to_uppercase(), rest.1.to_uppercase());
        return format!("unknown key; table and key are joined by two underscores: {spelled}");
    }
    unknown.explain(|name| {
        let mut spelled = path.to_vec();
        spelled[depth] = name.to_owned();
        if unknown.nearest().is_none() {
            spelled.truncate(depth + 1);
        }
        format!("{PREFIX}{}", spelled.join("__").to_uppercase())
    })
}
