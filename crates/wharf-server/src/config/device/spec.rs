//! From what was written to a description of a kind of device.

use wharf_proto::device::{
    ProfileError,
    spec::{
        BadChecksum, ChecksumForm, ChecksumSpec, Counts, CutSpec, DownSpec, Endian, EscapeHow, EscapeSpec,
        FieldSpec, FrameSpec, FramingSpec, HeartbeatSpec, Junk, LengthSpec, LoginSpec, MessageSpec,
        ProfileSpec, Publish, RequestSpec, TemplateSpec, TokenSpec, UpSpec,
    },
    unhex,
};

use super::{
    table::{
        BadWord, ChecksumTable, CountsWord, DeviceTable, DownTable, EscapeTable, FieldTable, FormWord, Frame,
        FramingKind, FramingTable, HeartbeatTable, JunkWord, LoginTable, MatchTable, Order, PublishWord,
        RequestTable, UpTable,
    },
    value::Template,
};

/// The longest message where the configuration does not say.
const MAX_BYTES: usize = 1_024;
/// So many bytes may be no frame where the configuration does not say.
const JUNK_BYTES: usize = 4_096;
/// So many times nothing may come where the configuration does not say.
const MISSES: u32 = 2;

type Read<T> = Result<T, ProfileError>;

fn fault<T>(key: impl Into<String>, message: impl Into<String>) -> Read<T> {
    Err(ProfileError { key: key.into(), message: message.into() })
}

/// What the tables of a device say.
pub fn profile(table: &DeviceTable) -> Read<ProfileSpec> {
    let mut up = Vec::new();
    for (at, table) in table.up.iter().enumerate() {
        up.push(self::up(table, &format!("up[{at}]"))?);
    }
    Ok(ProfileSpec {
        framing: framing(&table.framing)?,
        login: login(&table.login)?,
        heartbeat: table.heartbeat.as_ref().map(heartbeat).transpose()?,
        up,
        down: table.down.as_ref().map(down).transpose()?,
        request: table.request.as_ref().map(request).transpose()?,
    })
}

fn framing(table: &FramingTable) -> Read<FramingSpec> {
    let misplaced = [
        ("length", table.length.is_some(), FramingKind::Length),
        ("bytes", table.bytes.is_some(), FramingKind::Fixed),
        ("escape", table.escape.is_some(), FramingKind::Marks),
    ];
    for (key, is_there, kind) in misplaced {
        if is_there && table.kind != kind {
            let word = format!("{kind:?}").to_lowercase();
            return fault(format!("framing.{key}"), format!("belongs to kind = \"{word}\""));
        }
    }
    let start = table.start.as_ref().map(|bytes| bytes.0.clone()).unwrap_or_default();
    let cut = match table.kind {
        FramingKind::Marks => CutSpec::Marks { escape: table.escape.as_ref().map(escape).transpose()? },
        FramingKind::Length => CutSpec::Length(length(table)?),
        FramingKind::Fixed => match table.bytes {
            Some(bytes) => CutSpec::Fixed { bytes: bytes.0 as usize }, // At most 1 MiB.
            None => return fault("framing", "kind = \"fixed\" needs `bytes`, the size of a message"),
        },
        FramingKind::Datagram => CutSpec::Datagram,
    };
    let finds_again = !start.is_empty() || matches!(table.kind, FramingKind::Marks | FramingKind::Datagram);
    let junk = match table.junk {
        Some(JunkWord::Close) => Junk::Close,
        None if !finds_again => Junk::Close,
        _ => Junk::Skip { limit: table.junk_bytes.map_or(JUNK_BYTES, |bytes| bytes.0 as usize) },
    };
    if junk == Junk::Close && table.junk_bytes.is_some() {
        let message = "counts what is skipped, and nothing is; write junk = \"skip\", or leave this out";
        return fault("framing.junk_bytes", message);
    }
    Ok(FramingSpec {
        cut,
        start,
        end: table.end.as_ref().map(|bytes| bytes.0.clone()).unwrap_or_default(),
        checksum: table.checksum.as_ref().map(checksum),
        max_bytes: table.max_bytes.map_or(MAX_BYTES, |bytes| bytes.0 as usize),
        junk,
    })
}

fn endian(order: Order) -> Endian {
    match order {
        Order::Big => Endian::Big,
        Order::Little => Endian::Little,
    }
}

fn length(table: &FramingTable) -> Read<LengthSpec> {
    let Some(length) = &table.length else {
        let mend = "needs `length`, as in length = { at = 2, bytes = 1 }";
        return fault("framing", format!("kind = \"length\" {mend}"));
    };
    Ok(LengthSpec {
        at: length.at.0 as usize,
        bytes: length.bytes.0 as usize,
        endian: endian(length.order),
        counts: match length.counts {
            CountsWord::Message => Counts::Message,
            CountsWord::Rest => Counts::Rest,
            CountsWord::Frame => Counts::Frame,
        },
        plus: length.plus,
    })
}

fn escape(table: &EscapeTable) -> Read<EscapeSpec> {
    let how = match (table.xor, &table.table, table.literal) {
        (Some(with), None, false) => EscapeHow::Xor(with.0),
        (None, Some(pairs), false) => {
            EscapeHow::Table(pairs.iter().map(|(raw, changed)| (raw.0, changed.0)).collect())
        }
        (None, None, true) => EscapeHow::Literal,
        _ => return fault("framing.escape", "write one of `xor`, `table` and `literal = true`"),
    };
    let also = table.also.as_ref().map(|bytes| bytes.0.clone()).unwrap_or_default();
    Ok(EscapeSpec { byte: table.byte.0, how, also })
}

fn checksum(table: &ChecksumTable) -> ChecksumSpec {
    ChecksumSpec {
        kind: table.kind.0.0,
        skip: table.skip.map(|skip| skip.0 as usize),
        leave: table.leave.map_or(0, |leave| leave.0 as usize),
        form: match table.form {
            FormWord::Binary => ChecksumForm::Binary(endian(table.order)),
            FormWord::Hex => ChecksumForm::Hex,
        },
        before: table.before.as_ref().map(|bytes| bytes.0.clone()).unwrap_or_default(),
        behind_end: table.behind_end,
        bad: match table.bad {
            BadWord::Drop => BadChecksum::Drop,
            BadWord::Close => BadChecksum::Close,
        },
    }
}

fn frame(table: &Frame<'_>, key: &str) -> Read<FrameSpec> {
    let mut bytes = Vec::new();
    for (at, table) in table.bytes.iter().enumerate() {
        let MatchTable { at: place, hex, text } = table;
        let found = match (hex, text) {
            (Some(digits), None) => unhex(digits),
            (None, Some(text)) => Some(text.clone().into_bytes()),
            _ => return fault(format!("{key}.match[{at}]"), "write one of `hex` and `text`"),
        };
        match found {
            Some(found) => bytes.push((*place, found)),
            None => return fault(format!("{key}.match[{at}].hex"), "is not pairs of hexadecimal digits"),
        }
    }
    let mut fields = Vec::new();
    for (at, table) in table.fields.iter().enumerate() {
        fields.push(field(table, &format!("{key}.fields[{at}]"))?);
    }
    let length = table.length.map(|(from, to)| (from as usize, to as usize));
    Ok(FrameSpec { pattern: table.pattern.map(str::to_owned), bytes, length, fields })
}

fn field(table: &FieldTable, key: &str) -> Read<FieldSpec> {
    let kind = table.kind.0;
    let said = table.bytes.map(|bytes| bytes.0 as usize);
    if said.is_some() && kind.bytes.is_some() && said != kind.bytes {
        return fault(format!("{key}.bytes"), "says another size than `kind` does; leave it out");
    }
    Ok(FieldSpec {
        name: table.name.clone(),
        at: table.at,
        bytes: said.or(kind.bytes),
        leave: table.leave.map_or(0, |leave| leave.0 as usize),
        kind: kind.kind,
        bits: table.bits,
        times: table.times,
        divided_by: table.divided_by,
        decimals: table.decimals.map(|decimals| decimals.0 as u8), // At most 15.
        trim: table.trim,
    })
}

fn template(template: &Option<Template>) -> Option<TemplateSpec> {
    template.as_ref().map(|template| template.0.clone())
}

fn login(table: &LoginTable) -> Read<LoginSpec> {
    Ok(LoginSpec {
        frame: frame(&table.frame(), "login")?,
        id: table.id.clone().unwrap_or_else(|| "id".to_owned()),
        token: table.token.as_ref().map(|token| TokenSpec {
            field: token.field.clone(),
            shared: token.shared.clone(),
            by_id: token.by_id.clone().into_iter().collect(),
        }),
        allow: table.allow.clone(),
        seen_in: table.seen_in.clone(),
        answer: template(&table.answer),
        refusal: template(&table.refusal),
        strict: table.strict,
    })
}

fn heartbeat(table: &HeartbeatTable) -> Read<HeartbeatSpec> {
    let spec = frame(&table.frame(), "heartbeat")?;
    Ok(HeartbeatSpec {
        // Where the table says nothing of frames, any shows life.
        frame: (spec != FrameSpec::default()).then_some(spec),
        answer: template(&table.answer),
        send: template(&table.send),
        interval_ms: table.interval.0,
        misses: table.misses.map_or(MISSES, |misses| misses.0 as u32), // At most 100.
        only: table.only,
    })
}

fn publish(word: PublishWord) -> Publish {
    match word {
        PublishWord::Fields => Publish::Fields,
        PublishWord::Text => Publish::Text,
        PublishWord::Base64 => Publish::Base64,
        PublishWord::Hex => Publish::Hex,
        PublishWord::Json => Publish::Json,
    }
}

fn up(table: &UpTable, key: &str) -> Read<UpSpec> {
    Ok(UpSpec {
        frame: frame(&table.frame(), key)?,
        channel: table.channel.clone(),
        publish: publish(table.publish),
        with: table.with.clone().into_iter().collect(),
        answer: template(&table.answer),
        error: template(&table.error),
    })
}

fn down(table: &DownTable) -> Read<DownSpec> {
    let mut messages = Vec::new();
    for (at, message) in table.messages.iter().enumerate() {
        let mut when = message.when.iter().flatten();
        let (first, more) = (when.next(), when.next());
        if more.is_some() || (message.when.is_some() && first.is_none()) {
            return fault(
                format!("down.messages[{at}].when"),
                "names one member and its value, as in { command = \"reboot\" }",
            );
        }
        let when = first.map(|(member, value)| (member.clone(), value.clone()));
        messages.push(MessageSpec { when, template: message.template.0.clone() });
    }
    // What is said of every publication comes last, since the first that holds counts.
    messages.extend(template(&table.template).map(|template| MessageSpec { when: None, template }));
    Ok(DownSpec { channel: table.channel.clone(), messages })
}

fn request(table: &RequestTable) -> Read<RequestSpec> {
    Ok(RequestSpec {
        template: table.template.0.clone(),
        answer: frame(&table.answer.frame(), "request.answer")?,
        seq: table.seq.clone(),
        seq_bits: table.seq_bits.map_or(32, |bits| bits.0 as u32), // At most 32.
        publish: publish(table.publish),
    })
}
