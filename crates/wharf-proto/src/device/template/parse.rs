//! Reads templates as they are written in a configuration.

use super::{Format, Part, Scope, Source, Template, TemplateSpec, TimeFormat};
use crate::device::unhex;

pub(super) fn template(spec: &TemplateSpec, scope: Scope<'_>) -> Result<Template, String> {
    let (text, is_text) = match spec {
        TemplateSpec::Text(text) => (text, true),
        TemplateSpec::Hex(text) => (text, false),
    };
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find(['{', '}']) {
        literal.push_str(&rest[..at]);
        let (brace, after) = rest[at..].split_at(1);
        if let Some(after) = after.strip_prefix(brace).filter(|_| is_text) {
            literal.push_str(brace);
            rest = after;
            continue;
        }
        let Some((field, after)) = after.split_once('}').filter(|_| brace == "{") else {
            return Err(format!(
                "a `{brace}` stands alone; a field is {{name}}, and a brace itself is {brace}{brace} in text"
            ));
        };
        push_literal(&mut literal, is_text, &mut parts)?;
        parts.push(part(field, scope)?);
        rest = after;
    }
    literal.push_str(rest);
    push_literal(&mut literal, is_text, &mut parts)?;
    Ok(Template { parts, is_text })
}

fn push_literal(literal: &mut String, is_text: bool, parts: &mut Vec<Part>) -> Result<(), String> {
    let text = std::mem::take(literal);
    let bytes = match is_text {
        true => text.into_bytes(),
        false => unhex(&text).ok_or_else(|| {
            format!("{:?} is not pairs of hexadecimal digits; a text is written without hex", text.trim())
        })?,
    };
    if !bytes.is_empty() {
        parts.push(Part::Literal(bytes.into()));
    }
    Ok(())
}

fn part(text: &str, scope: Scope<'_>) -> Result<Part, String> {
    // A time holds colons of its own.
    let (name, format) = text.split_once(':').unwrap_or((text, ""));
    let is_field = scope.fields.contains(&name);
    if name == "now" || (name == "time" && !is_field) {
        return TimeFormat::new(format).map(Part::Time);
    }
    let source = match name {
        "id" => Source::Id,
        _ if is_field => Source::Field(name.into()),
        "seq" => Source::Seq,
        "data" if scope.has_data => Source::Data,
        _ => match name.strip_prefix("data.") {
            Some(path) if scope.has_data && path.split('.').all(|name| !name.is_empty()) => {
                Source::Member(path.split('.').map(Into::into).collect())
            }
            _ => return Err(unknown(name, scope)),
        },
    };
    match Format::new(format) {
        Some(format) => Ok(Part::Value(source, format)),
        None => Err(format!("{format:?} is no way to write {{{name}}}; known here: {}", Format::KNOWN)),
    }
}

fn unknown(name: &str, scope: Scope<'_>) -> String {
    let mut known: Vec<&str> = vec!["id", "seq", "now"];
    known.extend(scope.fields);
    if scope.has_data {
        known.extend(["data", "data.NAME"]);
    }
    format!("nothing here is called {{{name}}}; known here: {}", known.join(", "))
}
